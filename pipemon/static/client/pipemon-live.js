/**
 * pipemon's events in a browser: each once and in order, over breaks and restarts. No dependency, no build.
 *
 *   import { PipemonLive } from "https://pipemon.example.com/static/client/pipemon-live.js";
 *   const live = new PipemonLive({ topics: ["builds"] });
 *   live.on("build_update", (message) => console.log(message.id, message.event, message.data));
 *
 * Add the handlers at once, before anything is awaited. docs/events.md describes the messages.
 */

const FIRST_SECONDS = 1, LONGEST_SECONDS = 30;
// A connection that held this long was a good one: the next break starts with the shortest wait again.
const STEADY_SECONDS = 10;
// A page is not shown the protocol's own pings, so silence is asked, and silence after that is a dead link.
const LOOK_SECONDS = 10, QUIET_SECONDS = 20, DEAD_SECONDS = 60;
const LOST = 1006, RESTART = 1012, BUSY = 1013, NO_KEY = 4401;

export class PipemonLive {
  #url; #asked; #ticket; #lastEventId; #epoch;
  #handlers = new Map();
  #state = "new";
  #attempt = 0; #tries = 0;
  #socket = null; #watch = null; #wait = null;
  #openedAt = null; #heardAt = 0; #pinged = false;

  /**
   * url: of the socket; by default that of the server this file came from.
   * topics: any of pipeline, builds, analytics, notifications. repositories, branches: leave out what is not in them.
   * ticket: an async function that returns a new ticket; it is asked before each connection.
   * lastEventId, epoch: where an earlier page was; without them the events begin now.
   */
  constructor({ url, topics, repositories, branches, ticket = null, lastEventId = null, epoch = null }) {
    this.#url = new URL(url ?? "../../ws", (url && globalThis.location?.href) || import.meta.url);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#asked = { type: "subscribe", events: topics, repositories, branches };
    this.#ticket = ticket;
    this.#lastEventId = lastEventId;
    this.#epoch = epoch;
    queueMicrotask(() => this.#state === "new" && this.#connect());
  }

  /** The last event that your handlers were called with; keep it together with `epoch` to resume in another page. */
  get lastEventId() { return this.#lastEventId; }
  get epoch() { return this.#epoch; }
  /** new, connecting, open, waiting (for the next try), closed (for good). */
  get state() { return this.#state; }

  /**
   * Call `handler(message)` for build_update, pipeline_update, analytics_update, notification_update; for "event",
   * which is any of them; for resync, state, error. Returns a function that ends it. Promises are not awaited.
   */
  on(name, handler) {
    const found = this.#handlers.get(name) ?? this.#handlers.set(name, new Set()).get(name);
    found.add(handler);
    return () => found.delete(handler);
  }

  /** End it for good. */
  close() {
    this.#stop(1000, "closed by the page");
  }

  async #connect() {
    this.#drop();
    const attempt = this.#attempt;
    this.#heardAt = Date.now();
    this.#pinged = true; // what never opens is dead as well
    this.#watch = setInterval(() => this.#look(), LOOK_SECONDS * 1000);
    this.#become("connecting");
    try {
      // First the ticket: an open socket that does not say who it is gets five seconds.
      const ticket = attempt === this.#attempt && this.#ticket ? await this.#ticket() : null;
      if (attempt !== this.#attempt) return;
      const socket = new WebSocket(this.#url);
      this.#socket = socket;
      socket.onopen = () => (ticket === null ? this.#subscribe() : this.#send({ type: "auth", ticket }));
      socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
      socket.onclose = ({ code, reason }) => this.#broken(code, reason);
      // A browser tells the close in the same turn, and with its code; Node 20 tells none where nobody answered.
      socket.onerror = () => setTimeout(() => attempt === this.#attempt && this.#broken(LOST, "no connection"), 0);
    } catch (cause) {
      if (attempt !== this.#attempt) return;
      this.#emit("error", { type: "not_connected", message: String(cause), details: {}, cause });
      if (attempt === this.#attempt) this.#broken(LOST, "no connection was tried");
    }
  }

  /** Forget the connection; whatever it still brings is nobody's. */
  #drop() {
    this.#attempt += 1;
    clearInterval(this.#watch);
    clearTimeout(this.#wait);
    if (this.#socket === null) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = this.#socket.onerror = null;
    this.#socket.close();
    this.#socket = null;
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #subscribe() {
    const resumed = this.#lastEventId === null ? {} : { last_event_id: this.#lastEventId, epoch: this.#epoch };
    this.#send({ ...this.#asked, ...resumed });
  }

  #hear(message) {
    this.#heardAt = Date.now();
    this.#pinged = false;
    if (message.type === "authenticated") this.#subscribe();
    else if (message.type === "subscription_confirmed") this.#confirmed(message);
    else if (message.type === "resync") this.#resync(message);
    else if (message.type === "error") this.#refused(message.error);
    else if (Number.isInteger(message.id)) this.#update(message);
  }

  #confirmed({ last_event_id, epoch }) {
    if (this.#lastEventId === null) [this.#lastEventId, this.#epoch] = [last_event_id, epoch];
    // Where it is another place than the one we asked for, a resync follows; until it came our own place stands.
    else if (this.#lastEventId === last_event_id) this.#epoch ??= epoch;
    this.#openedAt = Date.now();
    this.#become("open");
  }

  #update(message) {
    if (message.id <= this.#lastEventId) return;
    this.#emit(message.type, message);
    this.#emit("event", message);
    this.#lastEventId = message.id;
  }

  /** Events are missing: the page reads the state anew, and the events go on from there. */
  #resync(message) {
    this.#emit("resync", message);
    [this.#lastEventId, this.#epoch] = [message.last_event_id, message.epoch];
  }

  #refused(error) {
    const attempt = this.#attempt;
    this.#emit("error", error);
    if (attempt !== this.#attempt) return; // a handler has closed us
    if (error.type === "unauthorized") this.#stop(NO_KEY, error.message);
    else if (this.#state !== "open") this.#broken(LOST, error.message);
  }

  #look() {
    const quiet = Date.now() - this.#heardAt;
    if (this.#pinged && quiet >= DEAD_SECONDS * 1000) this.#broken(LOST, `silent for ${DEAD_SECONDS} s`);
    else if (quiet >= QUIET_SECONDS * 1000 && this.#socket?.readyState === 1) {
      this.#pinged = true;
      this.#send({ type: "ping" });
    }
  }

  #broken(code, reason) {
    this.#drop();
    if (code === NO_KEY) {
      this.#emit("error", { type: "unauthorized", message: reason, details: {} });
      return this.#stop(code, reason);
    }
    const seconds = this.#delay(code);
    this.#wait = setTimeout(() => this.#connect(), seconds * 1000);
    this.#become("waiting", { seconds, code, reason });
  }

  /** Full jitter: ten thousand pages that lost one server must not come back at one moment. */
  #delay(code) {
    const steady = this.#openedAt !== null && Date.now() - this.#openedAt >= STEADY_SECONDS * 1000;
    this.#openedAt = null;
    if (code === BUSY) return LONGEST_SECONDS * (1 + Math.random());
    if (steady || code === RESTART) this.#tries = 0;
    return Math.random() * Math.min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** this.#tries++);
  }

  #stop(code, reason) {
    this.#drop();
    if (this.#state !== "closed") this.#become("closed", { code, reason });
  }

  #become(state, more = {}) {
    this.#state = state;
    this.#emit("state", { state, ...more });
  }

  /** Call the handlers; one that fails keeps nobody else from being called. */
  #emit(name, message) {
    const handlers = [...(this.#handlers.get(name) ?? [])];
    if (name === "error" && handlers.length === 0) console.error("pipemon-live:", message);
    for (const handler of handlers) {
      try {
        handler(message);
      } catch (cause) {
        if (name === "error") console.error("pipemon-live:", cause);
        else this.#emit("error", { type: "handler_failed", message: String(cause), details: {}, cause });
      }
    }
  }
}
