// @ts-check
/**
 * Owns what time it is: the server's time (screens on a wall are often minutes off), and a signal that ticks.
 */
import { computed, signal } from "@preact/signals";

let offset = 0;

/** The server's time now, in milliseconds since 1970; refreshed every second. */
export const now = signal(Date.now());

/** The same in steps of ten seconds, for lists that tell minutes: a long list needn't be drawn every second. */
export const coarse = computed(() => Math.floor(now.value / 10_000) * 10_000);

/** @returns {number} the server's time at this very moment, in milliseconds */
export const serverNow = () => Date.now() + offset;

/**
 * Take the server's time, read while answering a question that was sent at `sent` by this machine's clock.
 * @param {string} iso
 * @param {number} [sent]
 */
export function setServerTime(iso, sent = Date.now()) {
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return;
  const middle = sent + (Date.now() - sent) / 2;
  const fresh = at - middle;
  // Half a round trip of error is normal; moving the clock for it would make countdowns stutter.
  if (Math.abs(fresh - offset) > 750) offset = fresh;
  now.value = serverNow();
}

setInterval(() => (now.value = serverNow()), 1_000);
document.addEventListener("visibilitychange", () => (now.value = serverNow()));
