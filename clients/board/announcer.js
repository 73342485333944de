// @ts-check
/**
 * Owns announcing: one call after the other, never two at once, none dropped but those that have become pointless.
 *
 * Invariant: whatever a stage does (throws, or never ends), the next call's turn comes: each step has its own end.
 *
 * @import {Call} from "./calls.js"
 * @typedef {object} Stage
 * @property {(call: Call, waited: number) => boolean} pointless  its patient has long been seen to; `waited`: milliseconds
 * @property {(call: Call) => void} show  put this call in front
 * @property {(call: Call) => Promise<unknown>} sound  chime
 * @property {(call: Call) => {text: string, lang: string}[]} sentences  what to say, one language after the other
 * @property {(text: string, lang: string) => Promise<unknown>} say
 * @property {(call: Call) => void} said  everything about this call is done
 * @property {() => void} rest  nothing is waiting
 */

/** Milliseconds: how long a call stays in front at least, alone and with others waiting; what a chime, a word may take. */
export const PACE = { alone: 4_500, busy: 2_500, chime: 2_500, beyond: 1_000 };

/** @param {number} ms */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * How long saying this may take before it counts as lost: browsers forget to report the end of an utterance.
 * @param {string} text
 */
export const patience = (text) => 4_000 + 160 * text.length;

/**
 * The end of a step, however it ends.
 * @param {() => Promise<unknown>} step
 * @param {number} ms
 */
async function within(step, ms) {
  try {
    await Promise.race([step(), pause(ms)]);
  } catch (error) {
    console.warn("announcement step failed", error);
  }
}

export class Announcer {
  /**
   * @param {Stage} stage
   * @param {typeof PACE & {patience?: (text: string) => number}} [pace]
   */
  constructor(stage, pace = PACE) {
    this.stage = stage;
    this.pace = { patience, ...pace };
    /** @type {{call: Call, since: number}[]} */
    this.waiting = [];
    /** @type {Call | null} */
    this.current = null;
  }

  get idle() {
    return this.current === null && this.waiting.length === 0;
  }

  /** @param {Call} call */
  push(call) {
    this.waiting.push({ call, since: performance.now() });
    if (this.current === null) void this.#run();
  }

  /**
   * Forget calls that were taken back before their turn; the one being announced is finished.
   * @param {(call: Call) => boolean} gone
   */
  withdraw(gone) {
    this.waiting = this.waiting.filter(({ call }) => !gone(call));
  }

  async #run() {
    let next;
    while ((next = this.waiting.shift())) {
      const now = next.call;
      this.current = now;
      if (this.stage.pointless(now, performance.now() - next.since)) continue;
      await within(async () => this.stage.show(now), 1_000);
      const least = pause(this.waiting.length > 0 ? this.pace.busy : this.pace.alone);
      await within(() => this.stage.sound(now), this.pace.chime);
      for (const { text, lang } of this.stage.sentences(now)) await within(() => this.stage.say(text, lang), this.pace.patience(text) + this.pace.beyond);
      await least;
      await within(async () => this.stage.said(now), 1_000);
    }
    this.current = null;
    await within(async () => this.stage.rest(), 1_000);
  }
}
