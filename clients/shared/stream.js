// @ts-check
/**
 * Owns one stream as a subscriber sees it: where it stands, what it holds, and when it must ask again.
 *
 * Invariant: while the phase is "live", `rows` is the server's state at exactly (`epoch`, `version`), and every
 * event between two versions has been handed out once, in order. Nothing here knows of sockets, time or the page.
 *
 * @import {Envelope, Row, Rows, StreamAnswer, StreamAsk} from "./wire.js"
 * @typedef {{applied: Envelope[], snapshot: boolean, again: boolean}} Outcome
 *   `applied`: the events that moved the state, in order; `snapshot`: the state was replaced as a whole;
 *   `again`: the caller must subscribe again, now.
 * @typedef {{epoch: string, version: number}} Position
 */

/**
 * The one reducer of every stream: rows put, then rows dropped.
 * @param {Rows} rows
 * @param {{put?: Record<string, Row>, drop?: string[]}} data
 * @returns {Rows}
 */
export function reduce(rows, data) {
  const next = new Map(rows);
  for (const [key, row] of Object.entries(data.put ?? {})) next.set(key, row);
  for (const key of data.drop ?? []) next.delete(key);
  return next;
}

/** @returns {Outcome} */
const nothing = () => ({ applied: [], snapshot: false, again: false });

export class Subscription {
  /**
   * @param {string} stream
   * @param {Position} [from] where to begin: what stood there is known from elsewhere, so only what came since is
   *   asked for, and `rows` holds just that, until the server answers with everything
   */
  constructor(stream, from) {
    this.stream = stream;
    /** @type {"idle" | "asking" | "live"} */
    this.phase = "idle";
    /** @type {string | null} */
    this.epoch = from?.epoch ?? null;
    this.version = from?.version ?? 0;
    /** @type {Rows} */
    this.rows = new Map();
    /** @type {Envelope[]} */
    this.buffer = [];
    /** Counts the questions asked: an answer to an older question says nothing about the present link. */
    this.turn = 0;
  }

  /**
   * Begin (again): what to send as `subscribe`. From here on live events are kept until the answer.
   * @returns {StreamAsk}
   */
  ask() {
    this.phase = "asking";
    this.buffer = [];
    this.turn += 1;
    return this.epoch === null
      ? { stream: this.stream }
      : { stream: this.stream, epoch: this.epoch, version: this.version };
  }

  /** The link is gone: state and position stay, so that the next question gets exactly what was missed. */
  cut() {
    this.phase = "idle";
    this.buffer = [];
    this.turn += 1;
  }

  /**
   * Take the server's answer: missed events, or a snapshot; then what arrived while waiting for it.
   * @param {StreamAnswer} answer
   * @returns {Outcome}
   */
  answer(answer) {
    const out = nothing();
    if (this.phase !== "asking") return out;
    if (answer.snapshot) {
      this.rows = new Map(Object.entries(answer.snapshot.rows));
      this.epoch = answer.epoch;
      this.version = answer.version;
      out.snapshot = true;
    } else if (answer.epoch !== this.epoch || !this.#take(answer.events ?? [], out) || this.version < answer.version) {
      // An answer that doesn't join on to our state can only be put right by a snapshot.
      return this.#forget(out);
    }
    this.phase = "live";
    const buffered = this.buffer;
    this.buffer = [];
    if (!this.#take(buffered, out)) return this.#restart(out);
    return out;
  }

  /**
   * Take one live event.
   * @param {Envelope} event
   * @returns {Outcome}
   */
  receive(event) {
    const out = nothing();
    if (this.phase === "asking") this.buffer.push(event);
    else if (this.phase === "live" && !this.#take([event], out)) return this.#restart(out);
    return out;
  }

  /**
   * Apply events in order; false when one doesn't follow on what we have.
   * @param {Envelope[]} events
   * @param {Outcome} out
   */
  #take(events, out) {
    for (const event of events) {
      if (event.epoch !== this.epoch) return false;
      if (event.version <= this.version) continue;
      if (event.version !== this.version + 1) return false;
      this.rows = reduce(this.rows, event.data);
      this.version = event.version;
      out.applied.push(event);
    }
    return true;
  }

  /** @param {Outcome} out */
  #restart(out) {
    this.phase = "idle";
    out.again = true;
    return out;
  }

  /** @param {Outcome} out */
  #forget(out) {
    this.epoch = null;
    this.version = 0;
    return this.#restart(out);
  }
}
