// @ts-check
/** Owns the link of a page on which people book or look after their appointments: one socket for whoever is signed in. */
import { effect, signal } from "@preact/signals";

import { renew } from "../shared/reload.js";
import { resume } from "../shared/session.js";
import { Link } from "../shared/socket.js";

/** A phone's network pauses now and then; that is no reason to alarm anybody. */
const QUIET_MS = 15_000;

export const stale = signal(false);
export const freshAt = signal(Date.now());

/** @param {() => boolean} idle nothing would be lost by a reload */
export function connect(idle) {
  const made = new Link({ auth: () => ({}), quiet: QUIET_MS, onDenied: resume, onHello: (hello) => void renew(hello.build, () => idle() && document.querySelector("dialog[open]") === null) });
  effect(() => void (stale.value = made.stale.value));
  effect(() => void (freshAt.value = made.freshAt.value));
  return made;
}
