// @ts-check
/**
 * Owns reading which queues somebody may work at.
 *
 * @import {QueueItem} from "./wire.js"
 */
import { get } from "./api.js";
import { whileHere } from "./session.js";

/** All of them, asked for as long as it takes, and as long as whoever asks is here. @returns {Promise<QueueItem[] | undefined>} */
export async function readQueues() {
  let refused = false;
  const all = await whileHere(everyPage, () => (refused = true));
  return refused ? [] : all;
}

async function everyPage() {
  /** @type {QueueItem[]} */
  const all = [];
  let cursor = "";
  do {
    const page = await get(`/queues${cursor && `?cursor=${encodeURIComponent(cursor)}`}`);
    all.push(...page.items);
    cursor = page.next ?? "";
  } while (cursor);
  return all;
}
