'use strict';
// Rooms and health are polled; events come by one EventSource that resumes by id. Nothing is loaded from elsewhere.
(() => {
  const POLL_MS = 5000, LINES_MAX = 500;
  const $ = (id) => document.getElementById(id);
  const state = {source: null, lastId: null, token: sessionStorage.getItem('token') || '', retry: 0, seen: 0};

  const el = (tag, text, cls) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (cls) e.className = cls;
    return e;
  };
  const problem = (text) => { $('problem').hidden = !text; $('problem').textContent = text || ''; };
  const clock = (ms) => new Date(ms).toLocaleTimeString([], {hour12: false});
  const ago = (ms) => {
    if (!ms) return '–';
    const s = Math.max(0, Math.round((Date.now() - ms) / 1000));
    return s < 90 ? `${s} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
  };

  async function ask(path, options = {}) {
    const headers = state.token ? {Authorization: `Bearer ${state.token}`} : {};
    const r = await fetch(path, {cache: 'no-cache', ...options, headers});
    if (r.status === 401) {
      $('login').hidden = false;
      throw new Error(state.token ? 'The token is not accepted.' : 'A token is needed.');
    }
    if (!r.ok) {
      const body = await r.json().catch(() => ({}));
      throw new Error(body.detail || body.title || `${path}: ${r.status}`);
    }
    $('login').hidden = true;
    return r.json();
  }

  function health(cls, text) {
    $('health').className = cls;
    $('health').querySelector('.text').textContent = text;
  }

  async function pollHealth() {
    try {
      const r = await fetch('/readyz', {cache: 'no-store'});
      const body = await r.json().catch(() => ({}));
      health(r.ok ? 'ok' : 'warn', r.ok ? 'ready' : `not ready: ${body.detail || body.reason || body.status || r.status}`);
    } catch {
      health('bad', 'no answer from the service');
    }
  }

  function drawRooms(rooms) {
    const chosen = $('room').value;
    const rows = rooms.map((room) => {
      const c = room.collection;
      const tr = el('tr');
      tr.className = String(room.room_id) === chosen ? 'chosen' : '';
      tr.append(el('td', room.uname ? `${room.room_id} ${room.uname}` : room.room_id));
      tr.append(el('td', c ? (c.state === 'live' ? 'connected' : `${c.state}${c.last_close ? ` (${c.last_close})` : ''}`) : room.state));
      tr.append(el('td', c ? c.events.toLocaleString() : '–', 'n'), el('td', c ? ago(c.last_event_ms) : '–'));
      tr.addEventListener('click', () => {
        $('room').value = $('room').value === String(room.room_id) ? '' : String(room.room_id);
        listen();
        pollRooms();
      });
      return tr;
    });
    $('rooms').replaceChildren(...rows);
    for (const room of rooms) {
      if (![...$('room').options].some((o) => o.value === String(room.room_id))) {
        const o = el('option', room.room_id);
        o.value = room.room_id;
        $('room').append(o);
      }
    }
    const connected = rooms.filter((r) => r.collection && r.collection.state === 'live').length;
    $('summary').textContent = rooms.length
      ? `${connected} of ${rooms.length} connected`
      : 'No rooms yet. Start danmakud with --rooms, see docs/configuration.md.';
  }

  async function pollRooms() {
    try {
      const rooms = [];
      let cursor = '';
      do {
        const page = await ask(`/api/v1/rooms?limit=1000${cursor}`);
        rooms.push(...page.data);
        cursor = page.page.has_more ? `&cursor=${encodeURIComponent(page.page.next)}` : '';
      } while (cursor && rooms.length < 20000);
      drawRooms(rooms);
      problem('');
    } catch (e) {
      problem(e.message);
    }
  }

  function words(e) {
    const more = e[e.kind] || {};
    switch (e.kind) {
    case 'gift': return `${more.gift_name || 'gift'} × ${more.num ?? 1}`;
    case 'interact': return {1: 'entered', 2: 'followed', 3: 'shared', 4: 'followed', 5: 'followed', 6: 'liked'}[more.type] || 'interacted';
    case 'entry': return 'entered';
    case 'audience': return more.figure ? `${more.figure}: ${more.value}` : 'audience';
    case 'live': return more.live === false ? 'live ended' : 'live began';
    default: return e.text ?? Object.entries(more).slice(0, 4).map(([k, v]) => `${k} ${typeof v === 'object' ? JSON.stringify(v) : v}`).join(', ');
    }
  }

  function line(cls, ...parts) {
    if ($('paused').checked) return;
    const list = $('events');
    const atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 40;
    const li = el('li', undefined, cls);
    li.append(...parts);
    list.append(li);
    while (list.children.length > LINES_MAX) list.firstChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  function show(e) {
    const what = el('span');
    if (e.user && e.user.name) what.append(el('span', `${e.user.name} `, 'who'));
    what.append(words(e));
    if (e.value_mcny) what.append(el('strong', ` ${(e.value_mcny / 1000).toLocaleString()} CNY`));
    line(e.value_mcny ? 'paid' : '', el('time', clock(e.ts_ms)), el('span', e.room_id, 'room'), what);
  }

  function control(text) {
    line('control', el('time', clock(Date.now())), el('span', ''), el('span', text));
  }

  async function listen() {
    if (state.source) state.source.close();
    const query = new URLSearchParams();
    if ($('room').value) query.set('rooms', $('room').value);
    if ($('kind').value) query.set('kinds', $('kind').value);
    if (state.lastId) query.set('last_event_id', state.lastId); else query.set('backlog', '30');
    const again = ++state.retry;
    try {
      if (state.token) query.set('ticket', (await ask('/api/v1/stream-tickets', {method: 'POST'})).data.ticket);
    } catch (e) {
      $('link').textContent = `not connected: ${e.message}`;
      setTimeout(() => again === state.retry && listen(), POLL_MS);
      return;
    }
    const source = state.source = new EventSource(`/api/v1/events/stream?${query}`);
    const data = (message) => {
      state.lastId = message.lastEventId;
      show(JSON.parse(message.data));
    };
    source.addEventListener('hello', (m) => {
      const hello = JSON.parse(m.data);
      $('link').textContent = 'connected';
      if (hello.complete === false) control('some of what was missed is not there any more');
      for (const kind of hello.kinds || hello.replayable_kinds || []) {
        if (![...$('kind').options].some((o) => o.value === kind)) {
          const o = el('option', kind);
          o.value = kind;
          $('kind').append(o);
        }
        source.addEventListener(kind, data);
      }
    });
    source.addEventListener('reset', () => control('what was missed is no longer stored; going on from now'));
    source.addEventListener('gap', (m) => control(`gap: ${m.data}`));
    // A ticket is good once, so the browser's own reconnect cannot be used: begin again from the last id.
    source.onerror = () => {
      source.close();
      $('link').textContent = 'disconnected, trying again …';
      setTimeout(() => again === state.retry && listen(), 2000);
    };
  }

  $('login').addEventListener('submit', (e) => {
    e.preventDefault();
    state.token = $('token').value.trim();
    sessionStorage.setItem('token', state.token);
    pollRooms();
    listen();
  });
  for (const id of ['room', 'kind']) {
    $(id).addEventListener('change', () => { state.lastId = null; $('events').replaceChildren(); listen(); pollRooms(); });
  }
  $('filter').addEventListener('submit', (e) => e.preventDefault());

  pollHealth();
  pollRooms();
  listen();
  setInterval(pollHealth, POLL_MS);
  setInterval(pollRooms, POLL_MS);
})();
