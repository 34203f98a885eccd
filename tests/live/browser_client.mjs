// The browser client's decisions, each on a scripted server and a clock that the test moves. Run by test_browser_client.py.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { PipemonLive } from "../../pipemon/static/client/pipemon-live.js";

class Server {
  static all = [];
  readyState = 0;
  said = [];
  constructor(url) {
    this.url = String(url);
    Server.all.push(this);
  }
  send(text) { this.said.push(JSON.parse(text)); }
  close() { this.readyState = 3; }
  open() { this.readyState = 1; this.onopen?.(); }
  tell(message) { this.onmessage?.({ data: JSON.stringify(message) }); }
  confirm(id = 10, epoch = "e1") { this.tell({ type: "subscription_confirmed", events: ["builds"], last_event_id: id, epoch }); }
  update(id) { this.tell({ type: "build_update", id, event: "build_started", data: {} }); }
  end(code, reason = "") { this.readyState = 3; this.onclose?.({ code, reason }); }
  static get last() { return Server.all.at(-1); }
}

const turn = () => new Promise((done) => setImmediate(done));
const seconds = async (count) => {
  for (let n = 0; n < count; n++) { mock.timers.tick(1000); await turn(); }
};
let live;
let told;

async function start(options = {}) {
  live = new PipemonLive({ url: "http://ci.example.com/ws", topics: ["builds"], ...options });
  told = [];
  for (const name of ["build_update", "event", "resync", "state", "error"])
    live.on(name, (message) => told.push([name, message]));
  await turn();
  return Server.last;
}

const waits = () => told.filter(([name, what]) => name === "state" && what.state === "waiting").map(([, what]) => what.seconds);
const names = () => told.filter(([name]) => name !== "state").map(([name]) => name);

beforeEach(() => {
  Server.all = [];
  globalThis.WebSocket = Server;
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  mock.method(Math, "random", () => 0.5);
});
afterEach(() => {
  live.close();
  mock.timers.reset();
  mock.restoreAll();
});

test("it subscribes with what it was given, by ws", async () => {
  const server = await start({ repositories: ["a/b"], branches: ["main"], lastEventId: 7, epoch: "e1" });
  server.open();
  assert.equal(server.url, "ws://ci.example.com/ws");
  assert.deepEqual(server.said, [
    { type: "subscribe", events: ["builds"], repositories: ["a/b"], branches: ["main"], last_event_id: 7, epoch: "e1" },
  ]);
});

test("without a place of its own it begins now, and resumes from there although nothing came", async () => {
  let server = await start();
  server.open();
  assert.deepEqual(server.said, [{ type: "subscribe", events: ["builds"] }]);
  server.confirm(10);
  server.end(1006);
  await seconds(1);
  server = Server.last;
  server.open();
  assert.deepEqual([server.said[0].last_event_id, server.said[0].epoch], [10, "e1"]);
});

test("the ticket comes first, and is a new one each time", async () => {
  let count = 0;
  const server = await start({ ticket: async () => `t${++count}` });
  server.open();
  assert.deepEqual(server.said, [{ type: "auth", ticket: "t1" }]);
  server.tell({ type: "authenticated", caller: "dash" });
  assert.equal(server.said[1].type, "subscribe");
  server.end(1006);
  await seconds(1);
  Server.last.open();
  assert.deepEqual(Server.last.said, [{ type: "auth", ticket: "t2" }]);
});

test("a ticket that can't be had is told, and tried again", async () => {
  let fails = true;
  await start({ ticket: async () => { if (fails) throw new Error("offline"); return "t"; } });
  assert.deepEqual([names(), live.state, Server.all.length], [["error"], "waiting", 0]);
  fails = false;
  await seconds(1);
  assert.equal(Server.all.length, 1);
});

test("ids that are not above the last one are ignored", async () => {
  const server = await start({ lastEventId: 5, epoch: "e1" });
  server.open();
  server.confirm(5);
  for (const id of [6, 6, 4, 5, 7]) server.update(id);
  assert.deepEqual(told.filter(([name]) => name === "event").map(([, what]) => what.id), [6, 7]);
});

test("the place moves after the handlers were called, and when one fails", async () => {
  const server = await start();
  const seen = [];
  live.on("build_update", () => seen.push(live.lastEventId));
  live.on("build_update", () => { throw new Error("the page's own"); });
  live.on("event", () => seen.push(live.lastEventId));
  server.open();
  server.confirm(10);
  server.update(11);
  assert.deepEqual([seen, live.lastEventId], [[10, 10], 11]);
  assert.equal(told.find(([name]) => name === "error")[1].type, "handler_failed");
});

test("a resync is told, and the events go on from its place, which may be a lower one", async () => {
  const server = await start({ lastEventId: 50, epoch: "e1" });
  let before;
  live.on("resync", () => { before = live.lastEventId; });
  server.open();
  server.confirm(3, "e2");
  assert.deepEqual([live.lastEventId, live.epoch], [50, "e1"]);
  server.tell({ type: "resync", last_event_id: 3, epoch: "e2", reason: "epoch" });
  assert.deepEqual([before, live.lastEventId, live.epoch], [50, 3, "e2"]);
  server.update(4);
  assert.equal(live.lastEventId, 4);
});

test("a break between the confirmation and its resync loses no resync", async () => {
  for (const id of [3, 50]) { // by chance the other log may stand where we were
    const server = await start({ lastEventId: 50, epoch: "e1" });
    server.open();
    server.confirm(id, "e2");
    server.end(1006);
    await seconds(1);
    Server.last.open();
    assert.deepEqual([Server.last.said[0].last_event_id, Server.last.said[0].epoch], [50, "e1"]);
    live.close();
  }
});

test("the waits grow to thirty seconds, and a good connection makes them short again", async () => {
  await start();
  for (let n = 0; n < 8; n++) {
    Server.last.end(1006);
    await seconds(16);
  }
  assert.deepEqual(waits(), [0.5, 1, 2, 4, 8, 15, 15, 15]);
  Server.last.open();
  Server.last.confirm();
  await seconds(5);
  Server.last.end(4408); // held for a moment only
  await seconds(16);
  assert.equal(waits().at(-1), 15);
  Server.last.open();
  Server.last.confirm();
  await seconds(11);
  Server.last.end(4408);
  await seconds(1);
  Server.last.end(1006);
  assert.deepEqual(waits().slice(-2), [0.5, 1]);
});

test("the waits are spread from nothing to the whole", async () => {
  for (const drawn of [0, 0.999]) {
    Math.random.mock.mockImplementation(() => drawn);
    await start();
    Server.last.end(1006);
    assert.deepEqual(waits(), [drawn]);
    live.close();
  }
});

test("after a restart it comes back at once, where there are too many much later", async () => {
  await start();
  for (let n = 0; n < 5; n++) {
    Server.last.end(1006);
    await seconds(16);
  }
  Server.last.end(1012);
  assert.equal(waits().at(-1), 0.5);
  await seconds(1);
  Server.last.end(1013);
  assert.equal(waits().at(-1), 45);
  await seconds(44);
  assert.equal(Server.all.length, 7);
  await seconds(2);
  assert.equal(Server.all.length, 8);
});

test("without a key it tells so and stops", async () => {
  const server = await start();
  server.open();
  server.end(4401, "no valid key");
  assert.deepEqual([names(), live.state], [["error"], "closed"]);
  assert.equal(told.find(([name]) => name === "error")[1].type, "unauthorized");
  await seconds(120);
  assert.equal(Server.all.length, 1);
});

test("nor does it wait for the close where the error says so already", async () => {
  const server = await start();
  server.open();
  server.tell({ type: "error", error: { type: "unauthorized", message: "A key is needed.", details: {} } });
  assert.deepEqual([names(), live.state, server.readyState], [["error"], "closed", 3]);
});

test("a subscription that is refused is told and tried again; an error afterwards ends nothing", async () => {
  const server = await start();
  server.open();
  server.tell({ type: "error", error: { type: "unavailable", message: "later", details: {} } });
  assert.deepEqual([names(), live.state, server.readyState], [["error"], "waiting", 3]);
  await seconds(1);
  Server.last.open();
  Server.last.confirm();
  Server.last.tell({ type: "error", error: { type: "validation_error", message: "no", details: {} } });
  assert.equal(live.state, "open");
});

test("silence is asked, and a link that stays silent is given up within the minute", async () => {
  const server = await start();
  server.open();
  server.confirm();
  await seconds(25);
  assert.deepEqual(server.said.at(-1), { type: "ping" });
  server.tell({ type: "pong" });
  await seconds(55);
  assert.equal(live.state, "open");
  await seconds(11);
  assert.deepEqual([server.readyState, Server.all.length], [3, 2]);
  server.onmessage?.({ data: '{"type":"build_update","id":99,"data":{}}' });
  assert.equal(live.lastEventId, 10);
});

test("one that answers is never given up, not in a tab whose clock is slowed to a tick a minute either", async () => {
  const server = await start();
  server.open();
  server.confirm();
  const now = Date.now;
  let slept = 0;
  mock.method(Date, "now", () => now() + slept);
  for (let minute = 0; minute < 5; minute++) {
    slept += 60_000;
    await seconds(10);
    if (server.said.at(-1).type === "ping") server.tell({ type: "pong" });
  }
  assert.deepEqual([live.state, Server.all.length], ["open", 1]);
});

test("a connection that never opens, and a ticket that never comes, are given up too", async () => {
  await start();
  await seconds(61);
  assert.equal(Server.all.length, 2);
  live.close();
  await start({ ticket: () => new Promise(() => {}) });
  await seconds(61);
  assert.equal(waits().length, 1);
});

test("closed is closed, from within a handler too", async () => {
  const server = await start();
  live.on("build_update", () => live.close());
  server.open();
  server.confirm();
  server.update(11);
  server.update(12);
  server.end(1006);
  await seconds(60);
  assert.deepEqual([live.state, Server.all.length, live.lastEventId], ["closed", 1, 11]);
  live = new PipemonLive({ url: "ws://ci.example.com/ws", topics: ["builds"] });
  live.close();
  await turn();
  assert.equal(Server.all.length, 1);
});

test("a handler that was taken off hears nothing", async () => {
  const server = await start();
  const heard = [];
  const off = live.on("event", (message) => heard.push(message.id));
  server.open();
  server.confirm();
  server.update(11);
  off();
  server.update(12);
  assert.deepEqual(heard, [11]);
});

test("closed while it waits, or by the handler of what went wrong, it does not try again", async () => {
  await start();
  Server.last.end(1006);
  live.close();
  live.close();
  assert.equal(told.filter(([, what]) => what.state === "closed").length, 1);
  const wrong = [
    (server) => server.tell({ type: "error", error: { type: "unavailable", message: "later", details: {} } }),
    (server) => server.end(4401),
  ];
  for (const goes of wrong) {
    const server = await start();
    live.on("error", () => live.close());
    server.open();
    goes(server);
    assert.equal(live.state, "closed");
    assert.equal(told.filter(([, what]) => what.state === "closed").length, 1);
  }
  await start({ ticket: async () => { await turn(); throw new Error("offline"); } });
  live.on("error", () => live.close());
  await turn();
  await turn();
  assert.equal(live.state, "closed");
  const made = Server.all.length;
  await seconds(60);
  assert.equal(Server.all.length, made);
});

test("a ticket that comes after the end opens nothing, and one that fails then is nobody's matter", async () => {
  for (const ends of [(done) => done("t"), (done, fail) => fail(new Error("offline"))]) {
    let ticket;
    await start({ ticket: () => new Promise((...both) => { ticket = both; }) });
    live.close();
    ends(...ticket);
    await turn();
    assert.deepEqual([names(), live.state, Server.all.length], [[], "closed", 0]);
  }
  let asked = 0;
  live = new PipemonLive({ url: "ws://ci.example.com/ws", topics: ["builds"], ticket: async () => `t${++asked}` });
  live.on("state", ({ state }) => state === "connecting" && live.close());
  await turn();
  assert.deepEqual([asked, Server.all.length], [0, 0]);
});

test("an error without a close is a break, an error with one is the close", async () => {
  await start();
  Server.last.onerror();
  await seconds(2);
  assert.equal(told.filter(([, what]) => what.state === "waiting").length, 1);
  assert.equal(Server.all.length, 2);
  Server.last.onerror();
  Server.last.end(1013);
  await seconds(1);
  assert.deepEqual([waits().length, waits()[1]], [2, 45]);
});

test("a handler that is added meanwhile hears the next, and what nobody handles is in the console", async () => {
  const lines = mock.method(console, "error", () => {}).mock;
  const server = await start();
  let heard = 0;
  const more = () => { heard += 1; live.on("event", () => more()); };
  live.on("event", more);
  server.open();
  server.confirm();
  server.update(11);
  assert.equal(heard, 1);
  live.on("error", () => { throw new Error("the handler of errors"); });
  server.tell({ type: "error", error: { type: "validation_error", message: "no", details: {} } });
  assert.equal(lines.callCount(), 1);
  live.close();
  live = new PipemonLive({ url: "ws://ci.example.com/ws", topics: ["builds"], ticket: async () => { throw new Error("x"); } });
  await turn();
  assert.equal(lines.callCount(), 2);
});
