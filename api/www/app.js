// The page: health, rooms, and a live tail. No framework, no request to anywhere else.
"use strict";

const API = "/api/v1";
const TAIL_MAX = 200; // lines shown
const QUEUE_MAX = 1000; // events waiting to be shown; beyond, the oldest are left out and counted
const POLL_MS = 10000;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30000;

const $ = (id) => document.getElementById(id);
const tail = $("events");

const state = {
  source: null, // EventSource
  generation: 0, // of the filter: what an older one still brings is dropped
  lastId: null,
  retryMs: RETRY_MIN_MS,
  retryTimer: 0,
  queue: [],
  skipped: 0,
  paused: false,
  drawing: false,
  names: new Map(), // room id -> title
};

const clockTime = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// good: true, false, or undefined for neither
function mark(node, text, good) {
  (node.querySelector("b, .text") || node).textContent = text;
  node.classList.toggle("good", good === true);
  node.classList.toggle("bad", good === false);
}

// Problems by where they come from: one that is over must not hide another one.
const problems = new Map();

function setProblem(where, text) {
  if (text) problems.set(where, text);
  else problems.delete(where);
  $("problem").textContent = [...problems.values()].join(" · ");
  $("problem").hidden = problems.size === 0;
}

// ---- requests ----

function token() {
  try {
    return sessionStorage.getItem("token") || "";
  } catch {
    return ""; // storage is switched off: then without
  }
}

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.code = problem.code || "";
  }
}

async function request(path, method = "GET") {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  const answer = await fetch(path, { method, headers, cache: "no-store" });
  const type = answer.headers.get("Content-Type") || "";
  const body = type.includes("json") ? await answer.json() : {};
  if (answer.status === 401 || answer.status === 403) $("login").hidden = false;
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

function explain(error) {
  return error instanceof Refused ? error.message : "the service does not answer";
}

// ---- the live tail ----

const WORDS = {
  gift: (d) => `${d.gift_name || d.gift_id || "a gift"} × ${d.num || 1}`,
  combo: (d) => `combo: ${d.gift_name || d.gift_id || "gifts"} × ${d.num || 1}`,
  guard: (d) => ["", "governor", "admiral", "captain"][d.level] || "guard",
  interact: (d) => ["", "came in", "followed", "shared", "followed specially", "followed mutually", "liked"][d.type] || "did something",
  entry: () => "came in",
  like: () => "liked",
  live: (d) => (d.state === "start" ? "goes on air" : "goes off air"),
  audience: (d) => `${d.figure}: ${d.value}`,
};

function describe(event) {
  const detail = event[event.kind] || {};
  if (event.text) return event.text;
  if (WORDS[event.kind]) return WORDS[event.kind](detail);
  return Object.entries(detail).filter(([, v]) => typeof v !== "object").map(([k, v]) => `${k} ${v}`).join(", ");
}

function line(event) {
  const node = make("li");
  const time = make("time", "", clockTime(event.ts_ms));
  time.dateTime = event.ts;
  const room = make("span", "room", event.room_id);
  room.title = state.names.get(event.room_id) || "";
  const what = make("span", "what");
  if (event.user && event.user.name) what.append(make("span", "who", event.user.name));
  what.append(describe(event));
  if (event.value_mcny > 0) what.append(make("span", "paid", `¥${(event.value_mcny / 1000).toLocaleString()}`));
  node.append(time, room, make("span", "kind", event.kind), what);
  return node;
}

// Many events a second are drawn once per frame, newest on top.
function draw() {
  state.drawing = false;
  if (state.paused) return;
  const fresh = state.queue.splice(0).slice(-TAIL_MAX).reverse();
  if (state.skipped > 0) {
    tail.prepend(make("li", "gap", `${state.skipped} events more than this page can show`));
    state.skipped = 0;
  }
  tail.prepend(...fresh.map(line));
  while (tail.childElementCount > TAIL_MAX) tail.lastElementChild.remove();
  $("empty").hidden = tail.childElementCount > 0;
}

function show(event) {
  state.queue.push(event);
  if (state.queue.length > QUEUE_MAX) {
    state.queue.shift();
    state.skipped++;
  }
  if (!state.drawing) {
    state.drawing = true;
    requestAnimationFrame(draw);
  }
}

async function streamUrl() {
  const query = new URLSearchParams();
  if ($("room").value) query.set("rooms", $("room").value);
  if ($("kind").value) query.set("kinds", $("kind").value);
  if (state.lastId) query.set("last_event_id", state.lastId);
  else query.set("backlog", "50");
  if (token()) query.set("ticket", (await request(`${API}/stream-tickets`, "POST")).data.ticket);
  return `${API}/events/stream?${query}`;
}

function listen(source, generation) {
  const onEvent = (message) => {
    if (generation !== state.generation) return;
    state.lastId = message.lastEventId;
    show(JSON.parse(message.data));
  };
  source.addEventListener("hello", (message) => {
    if (generation !== state.generation) return;
    const hello = JSON.parse(message.data);
    for (const kind of state.kinds) source.addEventListener(kind, onEvent);
    $("version").textContent = hello.server;
    mark($("link"), "connected", true);
    state.retryMs = RETRY_MIN_MS;
  });
  source.addEventListener("reset", () => {
    state.queue.length = 0;
    tail.prepend(make("li", "gap", "Something in between is not stored any more."));
  });
  source.addEventListener("gap", (message) => {
    if (generation !== state.generation) return;
    const gap = JSON.parse(message.data);
    const until = gap.to_ms === null ? "" : ` to ${clockTime(gap.to_ms)}`;
    tail.prepend(make("li", "gap", `Missed in room ${gap.room_id ?? "any"}: from ${clockTime(gap.from_ms)}${until} (${gap.cause})`));
  });
  // A ticket works once, so the browser's own way to reconnect would fail: always make a new source.
  source.onerror = () => {
    if (generation === state.generation) reconnect("disconnected");
  };
}

function reconnect(why) {
  if (state.source) state.source.close();
  state.source = null;
  clearTimeout(state.retryTimer);
  const ms = state.retryMs * (0.75 + Math.random() / 2);
  state.retryMs = Math.min(state.retryMs * 2, RETRY_MAX_MS);
  mark($("link"), `${why}, trying again in ${Math.ceil(ms / 1000)} s`, false);
  state.retryTimer = setTimeout(connect, ms);
}

async function connect() {
  const generation = state.generation;
  try {
    state.kinds ??= (await request(`${API}/capabilities`)).data.kinds;
    const url = await streamUrl();
    if (generation !== state.generation) return;
    state.source = new EventSource(url);
    listen(state.source, generation);
  } catch (error) {
    if (generation === state.generation) reconnect(explain(error));
  }
}

// Another filter, another token: from the beginning.
function restart() {
  state.generation++;
  state.lastId = null;
  state.retryMs = RETRY_MIN_MS;
  state.queue.length = 0;
  state.skipped = 0;
  tail.replaceChildren();
  $("empty").hidden = false;
  if (state.source) state.source.close();
  clearTimeout(state.retryTimer);
  mark($("link"), "connecting …");
  connect();
}

// ---- rooms and health ----

const STATES = { prepare: "asking for a host", queued: "waits for its turn", connect: "connecting", auth: "authenticating", backoff: "waits to try again" };

// Connected or not, and why not; whether the room is on air is another matter.
function stateCell(room) {
  const c = room.collection;
  const status = c ? STATES[c.state] || c.state : (room.not_connected || room.state || "not collected").replaceAll("_", " ");
  const less = room.coverage?.state === "degraded" ? `, less than there is (${room.coverage.cause})` : "";
  const cell = make("td", "state", `${status}${room.live ? ", on air" : ""}${less}`);
  const error = c?.state === "connected" ? null : room.last_error;
  if (error) cell.append(make("small", "why", `${clockTime(error.at_ms)} ${error.message}`));
  return cell;
}

function roomRow(room) {
  const row = make("tr");
  const pick = make("button", "link", String(room.room_id));
  pick.type = "button";
  pick.title = "Show only this room";
  pick.addEventListener("click", () => {
    $("room").value = String(room.room_id);
    restart();
  });
  const id = make("td");
  id.append(pick);
  const c = room.collection;
  const last = c && c.last_event_ms ? clockTime(c.last_event_ms) : "";
  row.append(id, stateCell(room),
    make("td", "title", [room.uname, room.title].filter(Boolean).join(" · ")),
    make("td", "n", c ? c.events.toLocaleString() : ""), make("td", "", last));
  return row;
}

function fillRoomChoice(rooms) {
  const choice = $("room");
  const known = new Set([...choice.options].map((o) => o.value));
  for (const room of rooms) {
    state.names.set(room.room_id, room.title || "");
    if (!known.has(String(room.room_id))) {
      choice.append(new Option(room.title ? `${room.room_id} ${room.title}` : room.room_id, room.room_id));
    }
  }
}

function describeUpstream(upstream) {
  const what = upstream.state === "refused" ? "Upstream refuses us, nothing is asked for a while" : "Upstream cannot be asked which rooms there are and where they are, trying again";
  return upstream.last_error ? `${what} (${clockTime(upstream.last_error.at_ms)} ${upstream.last_error.message}).` : `${what}.`;
}

async function pollRooms() {
  try {
    const { data: rooms, upstream } = await request(`${API}/rooms`);
    fillRoomChoice(rooms);
    const wanted = rooms.filter((room) => room.collection || (room.state !== "left" && room.state !== "removed"));
    $("rooms").replaceChildren(...wanted.map(roomRow));
    const away = upstream?.state === "failing" || upstream?.state === "refused";
    $("no-rooms").hidden = wanted.length > 0 || away;
    setProblem("rooms", "");
    setProblem("upstream", away ? describeUpstream(upstream) : "");
  } catch (error) {
    setProblem("rooms", `Rooms: ${explain(error)}.`);
  }
}

async function pollHealth() {
  try {
    await request("/readyz");
    mark($("health"), "ready", true);
  } catch (error) {
    mark($("health"), explain(error), false);
  }
  try {
    const now = (await request(`${API}/stats`)).data;
    mark($("database"), now.database.up ? "up" : "away", now.database.up);
    mark($("connected"), `${now.rooms.connected} of ${now.rooms.collected}`);
    mark($("published"), now.events.published.toLocaleString());
    setProblem("stats", "");
  } catch (error) {
    mark($("database"), "unknown");
    setProblem("stats", `Figures: ${explain(error)}.`);
  }
}

async function poll() {
  await Promise.all([pollRooms(), pollHealth()]);
  setTimeout(poll, POLL_MS);
}

// ---- the beginning ----

$("filter").addEventListener("submit", (event) => event.preventDefault());
$("room").addEventListener("change", restart);
$("kind").addEventListener("change", restart);
$("pause").addEventListener("click", () => {
  state.paused = !state.paused;
  $("pause").setAttribute("aria-pressed", String(state.paused));
  $("pause").textContent = state.paused ? "Go on" : "Pause";
  draw();
});
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    sessionStorage.setItem("token", $("token").value.trim());
  } catch {
    setProblem("storage", "This browser does not let the page keep the token.");
  }
  $("token").value = "";
  $("login").hidden = true;
  restart();
  pollRooms();
  pollHealth();
});
restart();
poll();
