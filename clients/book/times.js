// @ts-check
/**
 * Owns the free times of a week, live: read once, then kept as the doctors' streams tell what is taken, freed and locked.
 *
 * Invariant: the streams are followed from the very positions that the list was read at, so nothing that happens in
 * between is missed; a slot that becomes free and isn't in the list makes the list be read again.
 *
 * @import {Feed, Link} from "../shared/socket.js"
 * @import {FreeTimes, LockedSlot, Mode, Slot} from "../shared/wire.js"
 * @import {News, Time} from "./days.js"
 * @typedef {{doctors: readonly number[], type: number | null, mode: Mode, location: number | null, minutes?: number}} Wish
 */
import { batch, computed, signal } from "@preact/signals";

import { Problem, get, pause } from "../shared/api.js";
import { coarse, serverNow } from "../shared/clock.js";
import { zone } from "../shared/i18n.js";
import { user } from "../shared/session.js";
import { zoneAt } from "./catalogue.js";
import { dayAfter, local, standing, timeOf } from "./days.js";

export const WEEK = 7;
/** Of every doctor two streams are followed, and a socket follows a hundred. */
const DOCTORS = 45;
const AGAIN_MS = 250;

export class Times {
  /** @param {Link} link */
  constructor(link) {
    this.link = link;
    /** The first day shown, "2026-11-21". */
    this.from = signal(local(serverNow(), zone.peek()).day);
    this.items = signal(/** @type {readonly Time[]} */ ([]));
    this.state = signal(/** @type {"reading" | "ready" | "failed"} */ ("reading"));
    this.problem = signal("");
    /** The next free time where the week has none: undefined while it is looked for, null where there is none. */
    this.next = signal(/** @type {Time | null | undefined} */ (undefined));
    this.news = signal(/** @type {News} */ ({ left: new Map(), locks: new Map() }));
    /** Slots that this page holds itself. */
    this.mine = signal(/** @type {readonly number[]} */ ([]));
    /** The times that still lie ahead and have a seat, with how they stand, by day. */
    this.days = computed(() => this.#days());
    /** @type {Wish | null} */
    this.wish = null;
    /** @type {Feed[]} */
    this.feeds = [];
    /** @type {Set<number>} */
    this.followed = new Set();
    /** @type {Map<number, Map<number, readonly number[]>>} */
    this.locks = new Map();
    this.turn = 0;
    this.again = 0;
  }

  /** Show what fits this wish, from a day on; of other doctors than before, from today on. @param {Wish} wish @param {string} [day] */
  seek(wish, day) {
    const same = this.wish !== null && JSON.stringify(wish.doctors) === JSON.stringify(this.wish.doctors);
    const from = day ?? (same ? this.from.peek() : this.today);
    // Times that were read for another visit are none of this one's; another week's are kept while it is read.
    const alike = JSON.stringify(wish) === JSON.stringify(this.wish);
    this.wish = wish;
    if (!same) this.stop();
    batch(() => {
      this.from.value = from;
      this.state.value = "reading";
      if (!alike) this.items.value = [];
    });
    return this.read();
  }

  /** The first day that can be shown at all: today, where the clinic is. */
  get today() {
    return local(serverNow(), zone.peek()).day;
  }

  /** @param {number} by weeks */
  turnTo(by) {
    const day = dayAfter(this.from.peek(), by * WEEK);
    if (this.wish) void this.seek(this.wish, day < this.today ? this.today : day);
  }

  /** Follow nothing any more. */
  stop() {
    clearTimeout(this.again);
    this.again = 0;
    this.turn += 1;
    for (const feed of this.feeds) feed.stop();
    this.feeds = [];
    this.followed.clear();
    this.locks.clear();
    this.news.value = { left: new Map(), locks: new Map() };
  }

  /** @param {Time} time */
  standing(time) {
    return standing(time, this.news.value, coarse.value, this.mine.value);
  }

  /** Read the week; the list is replaced as a whole. */
  async read() {
    const wish = this.wish;
    if (!wish) return;
    const turn = (this.turn += 1);
    for (let attempt = 0; turn === this.turn; attempt += 1) {
      try {
        const from = this.from.peek();
        const { items, positions } = await this.#all(wish, from, dayAfter(from, WEEK - 1));
        if (turn !== this.turn) return;
        this.#follow(positions);
        batch(() => {
          this.items.value = items;
          this.state.value = "ready";
          this.problem.value = "";
        });
        this.next.value = undefined;
        if (items.length === 0) await this.#lookFurther(wish, from, turn);
        return;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (turn !== this.turn) return;
        if (error.code === "not-authenticated") return void (user.value = null);
        this.problem.value = error.message;
        if (!error.retryable) return void (this.state.value = "failed");
        await pause(attempt);
      }
    }
  }

  /** @param {Wish} wish @param {string} from @param {string} [to] */
  #query(wish, from, to) {
    const asked = new URLSearchParams();
    for (const id of wish.doctors) asked.append("doctor_id", String(id));
    if (wish.type) asked.set("visit_type_id", String(wish.type));
    else if (wish.minutes) asked.set("minutes", String(wish.minutes));
    if (wish.location) asked.set("location_id", String(wish.location));
    asked.set("mode", wish.mode);
    asked.set("from", from);
    if (to) asked.set("to", to);
    return asked;
  }

  /** @param {Wish} wish @param {string} from @param {string} to */
  async #all(wish, from, to) {
    const asked = this.#query(wish, from, to);
    /** @type {Time[]} */
    const items = [];
    /** @type {FreeTimes["positions"]} */
    let positions = {};
    for (let cursor = ""; ; ) {
      if (cursor) asked.set("cursor", cursor);
      const page = /** @type {FreeTimes} */ (await get(`/slots?${asked}`));
      items.push(...page.items.map(timeOf));
      // The first page's: what the later pages tell besides is newer, and comes over the streams once more.
      positions = { ...page.positions, ...positions };
      cursor = page.next_cursor ?? page.next ?? "";
      if (!cursor) return { items, positions };
    }
  }

  /** @param {Wish} wish @param {string} from @param {number} turn */
  async #lookFurther(wish, from, turn) {
    const found = await get(`/slots/next?${this.#query(wish, from)}`).catch(() => null);
    if (turn !== this.turn) return;
    const item = found?.item ?? found?.items?.[0] ?? (found?.slot_ids ? found : null);
    this.next.value = item ? timeOf(item) : null;
  }

  /** @param {FreeTimes["positions"]} positions */
  #follow(positions) {
    for (const doctor of (this.wish?.doctors ?? []).slice(0, DOCTORS)) {
      if (this.followed.has(doctor)) continue;
      this.followed.add(doctor);
      const from = positions[`slots:${doctor}`];
      const slots = this.link.follow(`slots:${doctor}`, (events, how) => this.#told(events, how), undefined, from);
      const locks = this.link.follow(`locks:${doctor}`, (_events, _how, sub) => this.#locked(doctor, /** @type {LockedSlot[]} */ ([...sub.rows.values()])));
      this.feeds.push(slots, locks);
    }
  }

  /**
   * @param {readonly import("../shared/wire.js").Envelope[]} events
   * @param {import("../shared/socket.js").How} how
   */
  #told(events, how) {
    if (how === "snapshot") return this.#soon();
    const left = new Map(this.news.peek().left);
    let fresh = false;
    const listed = new Set(this.items.peek().flatMap((one) => one.slots));
    for (const { data } of events) {
      for (const row of /** @type {Slot[]} */ (Object.values(data.put ?? {}))) {
        left.set(row.slot, row.left);
        fresh ||= row.left > 0 && !listed.has(row.slot) && this.#inWeek(Date.parse(row.starts_at));
      }
      for (const key of data.drop ?? []) left.set(Number(key.slice(2)), 0);
    }
    this.news.value = { ...this.news.peek(), left };
    if (fresh) this.#soon();
  }

  /** @param {number} at */
  #inWeek(at) {
    const { day } = local(at, zone.peek());
    return day >= dayAfter(this.from.peek(), -1) && day <= dayAfter(this.from.peek(), WEEK);
  }

  /** @param {number} doctor @param {readonly LockedSlot[]} rows */
  #locked(doctor, rows) {
    this.locks.set(doctor, new Map(rows.map((row) => [row.slot, row.until.map((one) => Date.parse(one))])));
    this.news.value = { ...this.news.peek(), locks: new Map([...this.locks.values()].flatMap((one) => [...one])) };
  }

  #soon() {
    if (this.again) return;
    this.again = setTimeout(() => {
      this.again = 0;
      void this.read();
    }, AGAIN_MS);
  }

  #days() {
    const [now, news, mine, first] = [coarse.value, this.news.value, this.mine.value, this.from.value];
    /** @type {Map<string, {time: Time, free: number, left: number, until: number, hour: number}[]>} */
    const days = new Map(Array.from({ length: WEEK }, (_, nth) => [dayAfter(first, nth), []]));
    for (const time of this.items.value) {
      if (time.start <= now) continue;
      const stands = standing(time, news, now, mine);
      if (stands.left <= 0) continue;
      const { day, hour } = local(time.start, zoneAt(time.location));
      days.get(day)?.push({ time, ...stands, hour });
    }
    for (const list of days.values()) list.sort((a, b) => a.time.start - b.time.start || b.free - a.free);
    return days;
  }
}
