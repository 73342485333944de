// @ts-check
/**
 * Owns what the browser does for us when no page of ours is open: it shows what is pushed, opens what is tapped, and
 * keeps the pages that people depend on, so that they open without a network and say themselves how old they are.
 *
 * Invariant: a page comes from the network wherever that answers; a kept one is whole: its files are those of its own
 * build, by the hash of their content. Nothing that the API answers is kept.
 *
 * @typedef {Event & {waitUntil: (work: Promise<unknown>) => void}} Lasting
 * @typedef {Lasting & {request: Request, respondWith: (answer: Promise<Response>) => void}} Fetching
 * @typedef {Lasting & {data: {json: () => any} | null}} Pushed
 * @typedef {Lasting & {notification: Notification}} Tapped
 * @typedef {{title: string, body: string, opens: string, tag: string, language: string}} Told
 */

/** What the server fills in: its build, each page by the first part of its address, and the files that they load. */
const SHELL = /** @type {{build: string, pages: Record<string, string>, files: string[]}} */ (/* callboard:shell */ { build: "", pages: {}, files: [] });

const worker = /** @type {any} */ (self);
const KEPT = `callboard-pages-${SHELL.build}`;
/** Which address a ticket of this browser has: its secret is known here and nowhere else. */
const PLACES = "callboard-places";
const NETWORK_MS = 4_000;
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);

worker.addEventListener("install", (/** @type {Lasting} */ event) => event.waitUntil(keep().then(() => worker.skipWaiting())));

worker.addEventListener("activate", (/** @type {Lasting} */ event) => event.waitUntil(tidy()));

/** Have every page and file of this build here; what an older one has of them is not fetched again. */
async function keep() {
  const cache = await caches.open(KEPT);
  const fetched = async (/** @type {string} */ address) => {
    const had = address.includes("?v=") ? await caches.match(address) : undefined;
    const answer = had ?? (await fetch(address, { cache: "no-cache" }));
    if (!answer.ok) throw new Error(`${answer.status} ${address}`);
    await cache.put(address, answer);
  };
  await Promise.all([...Object.values(SHELL.pages), ...SHELL.files].map(fetched));
}

async function tidy() {
  for (const name of await caches.keys()) if (name.startsWith("callboard-pages-") && name !== KEPT) await caches.delete(name);
}

worker.addEventListener("fetch", (/** @type {Fetching} */ event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  const page = SHELL.pages[`/${url.pathname.split("/")[1]}`];
  if (request.mode === "navigate" && page) event.respondWith(opened(request, page));
  else if (url.pathname.startsWith("/clients/") && url.searchParams.has("v")) event.respondWith(loaded(request));
});

/**
 * The page from the server, or the one that is kept where the server does not answer in time.
 * @param {Request} request
 * @param {string} page
 */
async function opened(request, page) {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), NETWORK_MS);
  try {
    const answer = await fetch(request, { signal: stop.signal });
    if (answer.status < 500) return answer;
  } catch {
    // No network, or none that answers.
  } finally {
    clearTimeout(late);
  }
  return (await caches.match(page)) ?? Response.error();
}

/** A file whose address names its content: the same wherever it comes from. @param {Request} request */
const loaded = async (request) => (await caches.match(request)) ?? fetch(request);

worker.addEventListener("push", (/** @type {Pushed} */ event) => event.waitUntil(show(event)));

/** @param {Pushed} event */
async function show(event) {
  /** @type {Partial<Told>} */
  let told = {};
  try {
    told = event.data?.json() ?? {};
  } catch {
    // Not ours, or garbled: browsers insist that something is shown.
  }
  const language = told.language ?? "en";
  await worker.registration.showNotification(told.title || "Callboard", {
    body: told.body ?? "",
    tag: told.tag ?? "callboard",
    renotify: true,
    lang: language,
    dir: RIGHT_TO_LEFT.has(language.split("-")[0] ?? "") ? "rtl" : "ltr",
    icon: "/clients/shared/icon-192.png",
    badge: "/clients/shared/icon-192.png",
    data: { opens: told.opens ?? "/" },
  });
}

worker.addEventListener("notificationclick", (/** @type {Tapped} */ event) => {
  event.notification.close();
  event.waitUntil(bringUp(event.notification.data?.opens ?? "/"));
});

/** Bring up the page that a notice is about: one that is open already, else a new one. @param {string} opens */
async function bringUp(opens) {
  const path = await pathOf(opens);
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = pages.find((/** @type {{url: string}} */ page) => new URL(page.url).pathname === path);
  return there ? there.focus() : worker.clients.openWindow(path);
}

/** @param {string} opens a page's path, or `ticket:5` */
async function pathOf(opens) {
  if (opens.startsWith("ticket:")) {
    const kept = await (await caches.open(PLACES)).match(`/~/${opens}`);
    return kept ? kept.text() : "/appointments";
  }
  // A path of ours and nothing else.
  return /^\/(?![/\\])/.test(opens) ? opens : "/";
}
