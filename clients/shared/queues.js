// @ts-check
/**
 * Owns reading which queues somebody may work at.
 *
 * @import {QueueItem} from "./wire.js"
 */
import { Problem, get, pause } from "./api.js";
import { user } from "./session.js";

/** All of them, asked for as long as it takes, and as long as whoever asks is here. @returns {Promise<QueueItem[] | undefined>} */
export async function readQueues() {
  for (let attempt = 0; user.peek(); attempt += 1) {
    try {
      /** @type {QueueItem[]} */
      const all = [];
      let cursor = "";
      do {
        const page = await get(`/queues${cursor && `?cursor=${encodeURIComponent(cursor)}`}`);
        all.push(...page.items);
        cursor = page.next ?? "";
      } while (cursor);
      return all;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.code === "not-authenticated") return void (user.value = null);
      if (error.code === "not-allowed") return [];
      await pause(attempt);
    }
  }
  return undefined;
}
