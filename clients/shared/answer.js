// @ts-check
/** Owns what a piece of a page asks for when it is drawn: asked again while there is no answer, and for as long as the piece is there. */
import { useEffect, useState } from "preact/hooks";

import { Problem } from "./api.js";

const AGAIN_MS = 2_000;

/** Whether asking again makes sense. @param {unknown} error */
function retryable(error) {
  if (!(error instanceof Problem)) throw error;
  return error.retryable;
}

/**
 * What is read, null until it is there, and how to put another in its place; read anew with every change of `by`.
 * @template T
 * @param {() => Promise<T>} read
 * @param {readonly unknown[]} by
 * @param {(error: unknown) => boolean} [again] whether to ask again after this
 * @returns {[T | null, (found: T | null | ((was: T | null) => T | null)) => void]}
 */
export function useAnswer(read, by, again = retryable) {
  const [answer, setAnswer] = useState(/** @type {T | null} */ (null));
  useEffect(() => {
    let current = true;
    const load = async () => {
      try {
        const found = await read();
        if (current) setAnswer(found);
      } catch (error) {
        // Whoever is here by now may be somebody else: what was refused before is nothing to them.
        if (!current && error instanceof Problem) return;
        if (again(error)) setTimeout(load, AGAIN_MS);
      }
    };
    void load();
    return () => void (current = false);
  }, by);
  return [answer, setAnswer];
}
