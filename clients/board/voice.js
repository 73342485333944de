// @ts-check
/**
 * Owns the board's speech.
 *
 * Invariant: it always ends: without a voice, with speech forbidden, and when the browser loses an utterance.
 */
import { patience } from "./announcer.js";

/** How long an utterance may take to begin before this browser counts as having no voice. */
const BEGIN_MS = 4_000;
const MUTE_FOR_MS = 5 * 60_000;

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
