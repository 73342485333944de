// @ts-check
/**
 * Owns the board's loudspeaker: a chime made by the browser itself, and its speech.
 *
 * Invariant: both always end: with sound forbidden, without a voice, and when the browser loses an utterance.
 * Browsers start mute until somebody touches the page; a kiosk starts Chromium with
 * --autoplay-policy=no-user-gesture-required and never sees the hint.
 */
import { signal } from "@preact/signals";

import { patience } from "./announcer.js";

/** Sound waits for somebody to touch the page. */
export const locked = signal(false);

/** How long an utterance may take to begin before this browser counts as having no voice. */
const BEGIN_MS = 4_000;
const MUTE_FOR_MS = 5 * 60_000;

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

let fruitless = 0;
let mutedAt = -Infinity;
/** Chromium collects an utterance that nobody holds, and its `end` never comes. @type {SpeechSynthesisUtterance | null} */
let held = null;

/**
 * Say it, and end when it has been said or can't be.
 * @param {string} text
 * @param {string} lang
 * @returns {Promise<boolean>} whether it was heard to its end
 */
export function speak(text, lang) {
  const synth = window.speechSynthesis;
  if (!synth || typeof SpeechSynthesisUtterance === "undefined") return Promise.resolve(false);
  if (fruitless >= 2 && performance.now() - mutedAt < MUTE_FOR_MS) return Promise.resolve(false);
  return new Promise((resolve) => {
    const words = new SpeechSynthesisUtterance(text);
    words.lang = lang;
    words.rate = 0.92;
    const voice = bestVoice(synth.getVoices(), lang);
    if (voice) words.voice = voice;
    let begun = false;
    /** @param {boolean} heard */
    const end = (heard) => {
      clearTimeout(beginning);
      clearTimeout(whole);
      words.onstart = words.onend = words.onerror = null;
      held = null;
      // Whatever is left in the browser's own queue must not speak into the next call.
      if (!heard) synth.cancel();
      fruitless = heard || begun ? 0 : fruitless + 1;
      if (fruitless > 0) mutedAt = performance.now();
      resolve(heard);
    };
    const beginning = setTimeout(() => !begun && end(false), BEGIN_MS);
    const whole = setTimeout(() => end(false), patience(text));
    words.onstart = () => (begun = true);
    words.onend = () => end(true);
    words.onerror = () => end(false);
    held = words;
    try {
      synth.resume();
      synth.speak(held);
    } catch {
      end(false);
    }
  });
}

/**
 * A voice of this machine rather than one that needs the network.
 * @param {SpeechSynthesisVoice[]} voices
 * @param {string} lang
 */
function bestVoice(voices, lang) {
  const base = lang.split("-")[0]?.toLowerCase() ?? lang;
  const fitting = voices.filter((voice) => voice.lang.toLowerCase().replace("_", "-").split("-")[0] === base);
  return fitting.find((voice) => voice.localService && voice.lang === lang) ?? fitting.find((voice) => voice.localService) ?? fitting[0] ?? null;
}
