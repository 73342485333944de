// @ts-check
/**
 * Owns reloading: onto a new build when nobody is disturbed, and after a fault, never in a loop.
 *
 * Invariant: a page reloads only when the server answers (a reload without one leaves the browser's error page on the
 * wall), for a new build only when the served page really is another build than this one, and each build once in ten
 * minutes.
 */
import { build } from "./build.js";
import { store } from "./ui.js";

const AGAIN_MS = 600_000;
const kept = store("sessionStorage");

/** @returns {Promise<string | null>} the build of the page the server would give now; null when it doesn't answer */
async function served() {
  try {
    const reply = await fetch(location.pathname, { cache: "no-store", headers: { Accept: "text/html" } });
    if (!reply.ok) return null;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    return page.querySelector('meta[name="build"]')?.getAttribute("content") ?? null;
  } catch {
    return null;
  }
}

let renewing = false;

/**
 * Reload if the server, which says that it runs another build, really serves another page.
 * @param {string | undefined} running the server's build
 * @param {() => boolean} idle asked again at the last moment
 */
export async function renew(running, idle) {
  if (!running || running === build || renewing || !idle()) return;
  renewing = true;
  const theirs = await served();
  // Another process may still serve the old page, for as long as the deploy takes: one look in a while is enough.
  setTimeout(() => (renewing = false), theirs && theirs !== build ? 1_000 : 30_000);
  if (!theirs || theirs === build || !idle()) return;
  const [last, at] = (kept.get("callboard.renewed") ?? " ").split(" ");
  if (last === theirs && Date.now() - Number(at) < AGAIN_MS) return;
  kept.set("callboard.renewed", `${theirs} ${Date.now()}`);
  location.reload();
}

let recovering = false;

/** After a fault: reload once the server answers, waiting longer each time it happens again within ten minutes. */
export async function recover() {
  if (recovering) return;
  recovering = true;
  const [count, at] = (kept.get("callboard.faults") ?? "0 0").split(" ").map(Number);
  const faults = Date.now() - (at ?? 0) < AGAIN_MS ? (count ?? 0) + 1 : 1;
  kept.set("callboard.faults", `${faults} ${Date.now()}`);
  await new Promise((done) => setTimeout(done, Math.min(120_000, 3_000 * 2 ** (faults - 1))));
  while ((await served()) === null) await new Promise((done) => setTimeout(done, 5_000 + Math.random() * 5_000));
  location.reload();
}
