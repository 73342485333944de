// @ts-check
/**
 * Owns the page's one link to the server: connecting for ever, subscribing, and knowing how old the page's data is.
 *
 * Invariant: `stale` is false only while the link has given a sign of life within `quiet` ms, every subscription is
 * live, and the server itself is in step, so a page that doesn't say that it is stale shows what the server knew at most that long ago.
 *
 * @import {Signal} from "@preact/signals"
 * @import {Envelope, ProblemBody, Rows, StreamAnswer} from "./wire.js"
 * @typedef {"live" | "missed" | "snapshot"} How  how events reached us: as they happened, after a gap, or as a whole
 * @typedef {{rows: Signal<Rows>, sub: Subscription, stop: () => void}} Feed
 * @typedef {(events: Envelope[], how: How, sub: Subscription) => void} OnEvents
 * @typedef {{sub: Subscription, rows: Signal<Rows>, onEvents: OnEvents, onRefused: (problem: ProblemBody) => void, failures: number, timer: number}} Held
 */
import { batch, signal } from "@preact/signals";
import { io } from "socket.io-client";

import { setServerTime } from "./clock.js";
import { Subscription } from "./stream.js";

const QUIET_MS = 5_000;
const LOOK_MS = 500;
const ACK_MS = 8_000;

/**
 * What a feed's rows are until the server has answered for the first time; no rows at all are another map.
 * @type {Rows}
 */
export const NONE = new Map();

/** A refusal from the server, or the lack of an answer (`code` "network"). */
export class Refused extends Error {
  /** @param {ProblemBody} problem */
  constructor(problem) {
    super(problem.code);
    this.problem = problem;
  }
}

/** @type {ProblemBody} */
const NO_ANSWER = { code: "network", status: 0, retryable: true };

export class Link {
  /**
   * @param {{auth: () => Record<string, string>, onDenied?: () => void, onHello?: (hello: {build?: string}) => void, quiet?: number}} options
   *   `onDenied`: the server refused the connection itself, so the credential may be gone; `quiet`: milliseconds
   *   without a sign of life until the page counts as stale
   */
  constructor({ auth, onDenied = () => {}, onHello = () => {}, quiet = QUIET_MS }) {
    this.quiet = quiet;
    /** The server hears of changes itself; it says so in its `hello`. */
    this.inStep = true;
    this.connected = signal(false);
    this.stale = signal(false);
    /** When, by this machine's clock, the page was last known to be in step with the server. */
    this.freshAt = signal(Date.now());
    /** @type {Map<string, Held>} */
    this.held = new Map();
    this.onHello = onHello;
    this.heard = this.lookedAt = Date.now();
    this.probing = false;
    this.socket = io({
      auth: (/** @type {(auth: Record<string, string>) => void} */ give) => give(auth()),
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      closeOnBeforeunload: true,
      reconnectionDelay: 400,
      reconnectionDelayMax: 5_000,
      randomizationFactor: 0.5,
      timeout: 10_000,
    });
    this.socket.on("connect", () => this.#connected());
    this.socket.on("disconnect", (/** @type {string} */ reason) => {
      this.#cut();
      if (reason === "io server disconnect") setTimeout(() => this.socket.connect(), 1_000 + Math.random() * 2_000);
    });
    this.socket.on("connect_error", () => {
      // An inactive socket was refused, rather than out of reach; nobody else will try again.
      if (this.socket.active) return;
      onDenied();
      setTimeout(() => this.socket.connect(), 4_000 + Math.random() * 4_000);
    });
    this.socket.io.on("ping", () => this.#life());
    this.socket.onAny((/** @type {string} */ type, /** @type {any} */ message) => this.#message(type, message));
    this.watch = setInterval(() => this.#look(), LOOK_MS);
    this.wake = () => document.visibilityState === "visible" && this.#look();
    document.addEventListener("visibilitychange", this.wake);
    addEventListener("online", this.wake);
  }

  /** Leave for good: no listener, timer or connection stays behind. */
  close() {
    clearInterval(this.watch);
    document.removeEventListener("visibilitychange", this.wake);
    removeEventListener("online", this.wake);
    for (const held of this.held.values()) clearTimeout(held.timer);
    this.held.clear();
    this.socket.off();
    this.socket.disconnect();
  }

  /**
   * Follow a stream; its rows are a signal, and `onEvents` gets each event once, in order.
   * @param {string} stream
   * @param {OnEvents} [onEvents]
   * @param {(problem: ProblemBody) => void} [onRefused]
   * @param {import("./stream.js").Position} [from] begin there, rather than with everything
   * @returns {Feed}
   */
  follow(stream, onEvents = () => {}, onRefused = () => {}, from = undefined) {
    const sub = new Subscription(stream, from);
    /** @type {Held} */
    const held = { sub, rows: signal(NONE), onEvents, onRefused, failures: 0, timer: 0 };
    this.held.set(stream, held);
    if (this.connected.peek()) this.#ask(held);
    const stop = () => {
      clearTimeout(held.timer);
      if (this.held.get(stream) !== held) return;
      this.held.delete(stream);
      sub.cut();
      if (this.connected.peek()) this.socket.emit("unsubscribe", { stream });
    };
    return { rows: held.rows, sub, stop };
  }

  /**
   * Send a command and give its answer, or throw `Refused`. Never queued for a later connection.
   * @param {string} event
   * @param {Record<string, any>} message
   * @returns {Promise<any>}
   */
  ask(event, message) {
    if (!this.socket.connected) return Promise.reject(new Refused(NO_ANSWER));
    return new Promise((resolve, reject) => {
      this.socket.timeout(ACK_MS).emit(event, message, (/** @type {Error | null} */ late, /** @type {any} */ reply) => {
        if (late) return reject(new Refused(NO_ANSWER));
        this.#life();
        if (reply && "ok" in reply) resolve(reply.ok);
        else reject(new Refused(reply?.problem ?? NO_ANSWER));
      });
    });
  }

  #connected() {
    this.connected.value = true;
    this.inStep = true;
    this.heard = Date.now();
    this.#hello();
    for (const held of this.held.values()) this.#ask(held);
  }

  #cut() {
    this.connected.value = false;
    this.probing = false;
    for (const held of this.held.values()) {
      clearTimeout(held.timer);
      held.sub.cut();
    }
  }

  /** @param {Held} held */
  #ask(held) {
    clearTimeout(held.timer);
    const question = held.sub.ask();
    const turn = held.sub.turn;
    this.ask("subscribe", question).then(
      (/** @type {StreamAnswer} */ answer) => {
        if (held.sub.turn !== turn) return;
        held.failures = 0;
        this.#apply(held, held.sub.answer(answer), "missed");
      },
      (/** @type {unknown} */ error) => {
        if (held.sub.turn !== turn) return;
        held.sub.cut();
        const problem = error instanceof Refused ? error.problem : NO_ANSWER;
        held.failures += 1;
        if (problem.code !== "network") held.onRefused(problem);
        const pause = Math.min(10_000, 500 * 2 ** held.failures) * (0.75 + Math.random() / 2);
        held.timer = setTimeout(() => this.connected.peek() && this.held.get(question.stream) === held && this.#ask(held), pause);
      },
    );
  }

  /**
   * @param {Held} held
   * @param {import("./stream.js").Outcome} outcome
   * @param {How} how
   */
  #apply(held, outcome, how) {
    batch(() => {
      held.rows.value = held.sub.rows;
      if (outcome.snapshot) held.onEvents([], "snapshot", held.sub);
      if (outcome.applied.length > 0 || (how === "missed" && !outcome.snapshot)) held.onEvents(outcome.applied, how, held.sub);
    });
    if (outcome.again) {
      // A gap that stays a gap must not become a storm of questions.
      held.failures += 1;
      if (held.failures < 3) this.#ask(held);
      else held.timer = setTimeout(() => this.connected.peek() && this.#ask(held), 1_000 * Math.min(held.failures, 10));
    } else this.#life();
  }

  /**
   * @param {string} type
   * @param {any} message
   */
  #message(type, message) {
    this.#life();
    const held = this.held.get(message?.stream);
    if (!held) return;
    if (type === "stream-reset") this.#ask(held);
    else if (typeof message.version === "number") {
      const outcome = held.sub.receive(message);
      if (outcome.applied.length > 0 || outcome.again) this.#apply(held, outcome, "live");
    }
  }

  /** Something came from the server. */
  #life() {
    this.heard = Date.now();
    if (!this.connected.peek() || !this.inStep) return;
    for (const held of this.held.values()) if (held.sub.phase !== "live") return;
    this.freshAt.value = this.heard;
    this.stale.value = false;
  }

  /** Ask for a sign of life when there has been none for a while, and give the link up when none comes. */
  #look() {
    const now = Date.now();
    // A clock that was set back must not make old data look fresh for hours.
    if (this.heard > now) this.heard = now;
    if (this.freshAt.peek() > now) this.freshAt.value = now;
    if (now - this.freshAt.peek() > this.quiet) this.stale.value = true;
    // A page in the background is let look once a minute; what it missed in between is no sign of a dead link.
    const late = now - this.lookedAt > 4 * LOOK_MS;
    this.lookedAt = now;
    if (late) this.heard = Math.max(this.heard, now - this.quiet / 2);
    if (!this.socket.connected) return;
    if (now - this.heard > this.quiet) {
      this.heard = now;
      this.socket.io.engine?.close();
    } else if (now - this.heard >= this.quiet / 2 && !this.probing) this.#hello();
  }

  #hello() {
    this.probing = true;
    const sent = Date.now();
    const build = globalThis.document?.querySelector('meta[name="build"]')?.getAttribute("content");
    this.ask("hello", build ? { build } : {})
      .then((hello) => {
        this.inStep = hello?.live !== false;
        if (this.inStep) this.#life();
        if (hello?.at) setServerTime(hello.at, sent);
        this.onHello(hello ?? {});
      })
      .catch(() => {})
      .finally(() => (this.probing = false));
  }
}
