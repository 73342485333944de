// @ts-check
/** Owns reading what the institution of whoever is signed in offers; from then on times are told in its zone. */
import { get } from "./api.js";
import { zone } from "./i18n.js";
import { whileHere } from "./session.js";

/**
 * Nothing where they have gone meanwhile, or are refused.
 * @param {(why: string) => void} refused
 */
export async function readCatalogue(refused) {
  const found = await whileHere(() => get("/catalogue"), (refusal) => refused(refusal.message));
  if (found) zone.value = found.institution.zone;
  return found;
}
