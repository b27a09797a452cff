// The Node way, without any client around it: Buffer, zlib module, JSON.parse. peer.js FILE MESSAGES -> messages/s.
'use strict';
const fs = require('fs');
const zlib = require('zlib');

const ROUNDS_MS = 1500;
let n = 0;
let bytes = 0;

function onMessage(m) {
    const info = m.info;
    const extra = JSON.parse(info[0][15].extra);
    const event = {uid: info[2][0], name: info[2][1], text: info[1], sent: info[0][4], mode: info[0][1],
                   color: info[0][3], guard: info[7], wealth: info[16][0], id: extra.id_str, medal: info[3].slice(0, 4)};
    n++;
    bytes += event.text.length;
}

function walk(data) {
    for (let at = 0; at < data.length;) {
        const length = data.readUInt32BE(at);
        const head = data.readUInt16BE(at + 4);
        const ver = data.readUInt16BE(at + 6);
        const body = data.subarray(at + head, at + length);
        if (data.readUInt32BE(at + 8) === 5) {
            if (ver === 3) {
                walk(zlib.brotliDecompressSync(body));
            } else if (ver === 2) {
                walk(zlib.inflateSync(body));
            } else {
                onMessage(JSON.parse(body.toString('utf8')));
            }
        }
        at += length;
    }
}

const data = fs.readFileSync(process.argv[2]);
const want = Number(process.argv[3]);
let best = 0;
for (const until = Date.now() + ROUNDS_MS; Date.now() < until;) {
    n = 0;
    const start = process.hrtime.bigint();
    walk(data);
    best = Math.max(best, want / (Number(process.hrtime.bigint() - start) / 1e9));
    if (n !== want) {
        throw new Error(`${n} messages instead of ${want}`);
    }
}
console.log(Math.floor(best));
