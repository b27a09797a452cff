// Points a client library that is not ours at the simulator: node foreign.cjs LIBRARY tcp|ws|wss HTTP_URL ROOM MESSAGES
// LIBRARY: bilibili-live-ws or bilibili-live-danmaku, found from the working directory. It signs and fetches the token as a
// browser would, then prints one JSON line when MESSAGES messages and a heartbeat reply have come, or on an error.
'use strict';
const crypto = require('crypto');
const { createRequire } = require('module');
const { pathToFileURL } = require('url');

const [library, transport, base, roomText, wantedText] = process.argv.slice(2);
const room = Number(roomText);
const wanted = Number(wantedText);
const from = createRequire(process.cwd() + '/');
const PLACES = [46, 47, 18, 2, 53, 8, 23, 32, 15, 50, 10, 31, 58, 3, 45, 35, 27, 43, 5, 49, 33, 9, 42, 19, 29, 28, 14, 39, 12,
  38, 41, 13];
const seen = { library, transport, live: false, heartbeats: 0, messages: 0, commands: {} };

function done(error) {
  console.log(JSON.stringify(error ? { ...seen, error: String(error.message || error) } : seen));
  process.exit(error ? 1 : 0);
}
function check() {
  if (seen.live && seen.heartbeats > 0 && seen.messages >= wanted) done();
}
function onMessage(m) {
  const cmd = String(m.cmd).split(':')[0];
  seen.messages++;
  seen.commands[cmd] = (seen.commands[cmd] || 0) + 1;
  check();
}
const onLive = () => { seen.live = true; check(); };
const onHeartbeat = () => { seen.heartbeats++; check(); };

async function data(path, headers) {
  return (await (await fetch(base + path, { headers })).json()).data;
}

async function main() {
  const buvid = (await data('/x/frontend/finger/spi')).b_3;
  const { img_url: img, sub_url: sub } = (await data('/x/web-interface/nav')).wbi_img;
  const raw = [img, sub].map((u) => u.split('/').pop().split('.')[0]).join('');
  const query = `id=${room}&type=0&wts=${Math.floor(Date.now() / 1000)}`;
  const sum = crypto.createHash('md5').update(query + PLACES.map((i) => raw[i]).join('')).digest('hex');
  const info = await data(`/xlive/web-room/v1/index/getDanmuInfo?${query}&w_rid=${sum}`, { Cookie: `buvid3=${buvid}` });
  const h = info.host_list[0];
  const address = transport === 'wss' ? `wss://${h.host}:${h.wss_port}/sub` : `ws://${h.host}:${h.ws_port}/sub`;
  const options = { key: info.token, uid: 0, buvid, protover: 3, address };

  if (library === 'bilibili-live-ws') {
    const { LiveTCP, LiveWS } = from(library);
    const c = transport === 'tcp' ? new LiveTCP(room, { ...options, host: h.host, port: h.port }) : new LiveWS(room, options);
    c.on('live', onLive);
    c.on('heartbeat', onHeartbeat);
    c.on('msg', onMessage);
    c.on('error', done);
    c.on('close', () => done('closed'));
  } else {
    globalThis.WebSocket = globalThis.WebSocket || from('ws');
    const { LiveWS } = await import(pathToFileURL(process.cwd() + `/node_modules/${library}/dist/index.js`));
    const c = new LiveWS(room, options);
    c.addEventListener('CONNECT_SUCCESS', onLive);
    c.addEventListener('HEARTBEAT_REPLY', onHeartbeat);
    c.addEventListener('MESSAGE', (e) => onMessage(e.data));
    c.addEventListener('error:decode', (e) => done(e.error || e.message));
    c.addEventListener('error', () => done('error'));
    c.addEventListener('close', () => done('closed'));
  }
  setTimeout(() => done('nothing more came'), 30000);
}
process.on('unhandledRejection', done);
main().catch(done);
