// @ts-check
/**
 * Owns the waiting room's board: pairing, following the location's queues, listing and announcing calls.
 *
 * It runs unattended for months: every fault ends in a calm screen and a reload, and no state is trusted to survive.
 *
 * @import {BoardTicket, DeviceInfo} from "../shared/wire.js"
 * @import {Feed} from "../shared/socket.js"
 * @import {Call} from "./calls.js"
 */
import { effect, signal } from "@preact/signals";

import { Problem, request } from "../shared/api.js";
import { chime, unlock } from "../shared/chime.js";
import { serverNow, setServerTime } from "../shared/clock.js";
import { fileFor, load, loaded, locale, t, use, zone } from "../shared/i18n.js";
import { useOwn } from "../shared/language.js";
import { bare } from "../shared/messages.js";
import { worker } from "../shared/offline.js";
import { recover, renew } from "../shared/reload.js";
import { Link } from "../shared/socket.js";
import { html, mount, store } from "../shared/ui.js";
import { Announcer } from "./announcer.js";
import { arrivalCode, hideArrivalCode, showArrivalCode } from "./arrival.js";
import { after, afterSnapshot, due, dueInSnapshot, isCall, takenBack, trimmed } from "./calls.js";
import { paired } from "./pairing.js";
import { Board, Fault } from "./view.js";
import { speak } from "./voice.js";

const MOST_CALLS = 10;
/** A board so far behind leaves out those who have been seen to meanwhile, rather than fall behind for ever. */
const BEHIND_MS = 75_000;
const REFRESH_MS = 10 * 60_000;

const kept = store();
const brief = store("sessionStorage");

/** @type {import("./view.js").State} */
const state = {
  phase: signal("starting"),
  device: signal(/** @type {DeviceInfo | null} */ (null)),
  calls: signal(/** @type {Call[]} */ ([])),
  presented: signal(/** @type {Call | null} */ (null)),
  spoken: signal(""),
  stale: signal(false),
  freshAt: signal(Date.now()),
  feeds: signal(/** @type {Map<number, Feed>} */ (new Map())),
};

/** @type {Link | null} */
let link = null;
/** Calls announced before, so that a reload or a repeated answer doesn't announce them again. */
const announced = new Set((brief.get("callboard.announced") ?? "").split(" ").filter(Boolean));

const announcer = new Announcer({
  pointless: (call, waited) => waited > BEHIND_MS && !isCurrent(call),
  show(call) {
    state.presented.value = call;
    state.spoken.value = sentence(call, locale.peek(), (token) => token);
  },
  sound: () => chime(),
  sentences: (call) => speechLanguages().map((lang) => ({ text: bare(sentence(call, lang, spelled)), lang })),
  say: (text, lang) => speak(text, lang),
  said(call) {
    acknowledge(call.stream, call.version, true);
  },
  rest() {
    state.presented.value = null;
  },
});

/**
 * @param {Call} call
 * @param {string} lang
 * @param {(token: string) => string} told
 */
const sentence = (call, lang, told) =>
  t(call.number > 1 ? "speech.again" : "speech.call", { token: told(call.token), desk: call.desk }, lang);

/**
 * A017 as "A 0 1 7": heard as it is read, and never as "seventeen".
 * @param {string} token
 */
const spelled = (token) => Array.from(token).join(" ");

function speechLanguages() {
  const wanted = (state.device.peek()?.institution.languages ?? []).filter(loaded);
  const ours = wanted.filter((tag, at) => wanted.findIndex((one) => fileFor(one) === fileFor(tag)) === at);
  return ours.length > 0 ? ours : [locale.peek()];
}

/** @param {Call} call */
function announce(call) {
  if (announced.has(call.key)) return;
  announced.add(call.key);
  if (announced.size > 200) announced.delete(/** @type {string} */ (announced.values().next().value));
  brief.set("callboard.announced", [...announced].join(" "));
  announcer.push(call);
}

/** @type {Map<string, {shown: number, spoken: number}>} */
const marks = new Map();

/**
 * Tell the server what this board has painted, or said: everything of the stream up to this version.
 * @param {string} stream
 * @param {number} version
 * @param {boolean} spoken
 */
function acknowledge(stream, version, spoken) {
  const mark = marks.get(stream) ?? { shown: 0, spoken: 0 };
  marks.set(stream, mark);
  if (spoken) mark.spoken = version;
  else mark.shown = version;
  link?.ask("call-shown", { stream, version, spoken }).catch(() => {
    // A lost mark is sent again with the next one, or on the next subscription.
  });
}

/** Once what has just been drawn is on the glass: the frame after the next has been asked for. @param {() => void} then */
const painted = (then) => requestAnimationFrame(() => requestAnimationFrame(then));

/** @type {import("../shared/socket.js").OnEvents} */
function onEvents(events, how, sub) {
  const { stream, rows, version } = sub;
  if (how === "snapshot") {
    state.calls.value = afterSnapshot(state.calls.peek(), stream, rows);
    marks.delete(stream);
    for (const call of dueInSnapshot(stream, rows, serverNow())) announce(call);
  } else {
    state.calls.value = after(state.calls.peek(), events);
    for (const event of events) if (event.type === "ticket-undone") announcer.withdraw((call) => takenBack(call, event));
    for (const call of due(events, how === "missed", rows)) announce(call);
  }
  state.calls.value = trimmed(state.calls.peek(), isCurrent, serverNow(), MOST_CALLS);
  if (how !== "live" || events.some(isCall)) painted(() => acknowledge(stream, version, false));
  const spoken = marks.get(stream)?.spoken ?? 0;
  if (how === "missed" && spoken > 0) acknowledge(stream, spoken, true);
}

/** @param {Call} call */
function isCurrent(call) {
  const id = Number(call.stream.split(":")[1]);
  const row = /** @type {BoardTicket | undefined} */ (state.feeds.peek().get(id)?.sub.rows.get(`t:${call.ticket}`));
  return row?.state === "called" && row.call?.number === call.number;
}

/** Follow exactly the queues that the location has now. @param {DeviceInfo} info */
function followQueues(info) {
  const feeds = new Map(state.feeds.peek());
  const wanted = new Set(info.queues.map((queue) => queue.id));
  for (const [id, feed] of feeds) {
    if (wanted.has(id)) continue;
    feed.stop();
    feeds.delete(id);
    state.calls.value = state.calls.peek().filter((call) => call.stream !== `board:${id}`);
  }
  for (const id of wanted) if (link && !feeds.has(id)) feeds.set(id, link.follow(`board:${id}`, onEvents, lookAgain));
  state.feeds.value = feeds;
}

let looking = false;

/** Ask who we are: the queues may have changed, or the credential been revoked. Waits for ever for an answer. */
async function lookAgain() {
  if (looking) return;
  looking = true;
  try {
    for (let attempt = 0; ; attempt += 1) {
      const credential = kept.get("callboard.device");
      if (!credential) return void pair();
      const sent = Date.now();
      try {
        const info = /** @type {DeviceInfo} */ (await request("GET", "/device", { authorization: `Device ${credential}` }));
        setServerTime(info.server_time, sent);
        return await become(info);
      } catch (error) {
        if (error instanceof Problem && (error.code === "not-authenticated" || error.code === "not-allowed")) {
          kept.set("callboard.device", null);
          return void pair();
        }
        if (!(error instanceof Problem)) throw error;
      }
      await new Promise((done) => setTimeout(done, Math.min(15_000, 1_000 * 2 ** attempt) * (0.75 + Math.random() / 2)));
    }
  } finally {
    looking = false;
  }
}

/** @param {DeviceInfo} info */
async function become(info) {
  zone.value = info.institution.zone;
  await use(info.institution.languages);
  await Promise.all(info.institution.languages.map(load));
  state.device.value = info;
  state.phase.value = "board";
  if (!link) {
    link = new Link({
      auth: () => ({ device: kept.get("callboard.device") ?? "" }),
      onDenied: lookAgain,
      onHello: (hello) => void renew(hello.build, quiet),
    });
    const ours = link;
    effect(() => void (state.stale.value = ours.stale.value));
    effect(() => void (state.freshAt.value = ours.freshAt.value));
    let before = false;
    effect(() => {
      // Back after a cut: queues may have come or gone meanwhile. Where there was none, the first one may just have come.
      const connected = ours.connected.value;
      if (connected && (before || info.queues.length === 0)) void lookAgain();
      before ||= connected;
    });
  }
  followQueues(info);
  void showArrivalCode(info.device.location_id, kept.get("callboard.device") ?? "");
  void renew(info.build, quiet);
}

let pairing = false;

async function pair() {
  if (pairing) return;
  pairing = true;
  link?.close();
  link = null;
  state.feeds.value = new Map();
  state.calls.value = [];
  state.device.value = null;
  state.stale.value = false;
  hideArrivalCode();
  arrivalCode.value = "";
  marks.clear();
  state.phase.value = "pairing";
  kept.set("callboard.device", await paired());
  pairing = false;
  await lookAgain();
}

/** Nobody would be interrupted by a reload. */
const quiet = () => announcer.idle && serverNow() - (state.calls.peek()[0]?.at ?? 0) > 8_000;

/** Keep the screen on; a browser releases the lock whenever the page is hidden. */
async function stayAwake() {
  try {
    if (document.visibilityState === "visible") await navigator.wakeLock?.request("screen");
  } catch {
    // Refused on low battery, or unknown to this browser: the kiosk's own settings decide.
  }
}

/** Move everything by a pixel or three every minute, so that nothing burns into the panel. */
function drift() {
  const minute = Math.floor(Date.now() / 60_000);
  const step = (/** @type {number} */ n) => [0, 1, 2, 3, 2, 1, 0, -1, -2, -3, -2, -1][n % 12] ?? 0;
  document.documentElement.style.setProperty("--drift-x", `${step(minute)}px`);
  document.documentElement.style.setProperty("--drift-y", `${step(Math.floor(minute / 12))}px`);
}

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  state.phase.value = "fault";
  void recover();
}

/** A link that hands over a credential (#device=…) enrols this browser; the address doesn't keep it. */
function takeCredential() {
  const credential = new URLSearchParams(location.hash.slice(1)).get("device");
  if (!credential) return;
  kept.set("callboard.device", credential);
  history.replaceState(null, "", location.pathname + location.search);
}

async function start() {
  takeCredential();
  const theme = new URLSearchParams(location.search).get("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  // Without an error object it is the browser's own complaint (a resize it put off), not a fault of the page.
  addEventListener("error", (event) => event.error && failed(event.error));
  addEventListener("unhandledrejection", (event) => failed(event.reason));
  await useOwn();
  effect(() => void (document.title = `${t("board.title")} · ${t("app.name")}`));
  mount(html`<${Board} state=${state} />`, { fallback: html`<${Fault} />`, onError: failed });
  document.documentElement.dataset.started = "yes";
  void unlock();
  for (const touch of ["pointerdown", "keydown"]) addEventListener(touch, () => void unlock());
  void stayAwake();
  document.addEventListener("visibilitychange", () => void stayAwake());
  drift();
  setInterval(drift, 60_000);
  setInterval(() => state.phase.peek() === "board" && void lookAgain(), REFRESH_MS);
  setInterval(() => {
    const kept = trimmed(state.calls.peek(), isCurrent, serverNow(), MOST_CALLS);
    if (kept.length < state.calls.peek().length) state.calls.value = kept;
  }, 30_000);
  void worker();
  await lookAgain();
}

void start();
