// @ts-check
/**
 * Owns the chime, made by the browser itself.
 *
 * Invariant: it always ends, with sound forbidden too. Browsers start mute until somebody touches the page; a kiosk
 * starts Chromium with --autoplay-policy=no-user-gesture-required and never sees the hint.
 */
import { signal } from "@preact/signals";

/** Sound waits for somebody to touch the page. */
export const locked = signal(false);

/** @type {AudioContext | null} */
let audio = null;

function context() {
  try {
    audio ??= new AudioContext();
  } catch {
    return null;
  }
  return audio;
}

/** Ask for sound; to be called on start, and on every touch until it is granted. */
export async function unlock() {
  const audio = context();
  if (!audio) return;
  // resume() stays pending while it is forbidden.
  await Promise.race([audio.resume().catch(() => {}), new Promise((done) => setTimeout(done, 500))]);
  locked.value = audio.state === "suspended";
}

/**
 * Two soft notes, a falling third, as in stations and airports.
 * @returns {Promise<void>}
 */
export async function chime() {
  const audio = context();
  if (!audio) return;
  await unlock();
  if (audio.state !== "running") return;
  const start = audio.currentTime + 0.03;
  for (const [at, hertz] of /** @type {const} */ ([[0, 783.99], [0.42, 622.25]])) {
    for (const [partial, loud] of /** @type {const} */ ([[1, 0.32], [2, 0.08], [3, 0.03]])) {
      const tone = audio.createOscillator();
      const gain = audio.createGain();
      tone.frequency.value = hertz * partial;
      gain.gain.setValueAtTime(0, start + at);
      gain.gain.linearRampToValueAtTime(loud, start + at + 0.012);
      gain.gain.exponentialRampToValueAtTime(0.0008, start + at + 1.1);
      tone.connect(gain).connect(audio.destination);
      tone.start(start + at);
      tone.stop(start + at + 1.15);
    }
  }
  await new Promise((done) => setTimeout(done, 1_250));
}
