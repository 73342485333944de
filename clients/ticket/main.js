// @ts-check
/**
 * Owns a patient's ticket on their own phone: the place, the wait, and the moment it is their turn.
 *
 * Invariant: the ticket's secret is read from the address and goes nowhere but into requests for this very ticket.
 *
 * @import {BoardTicket, QueueRow, TicketInfo, TicketState} from "../shared/wire.js"
 * @import {Feed} from "../shared/socket.js"
 */
import { computed, effect, signal } from "@preact/signals";

import { Problem, act, get, setAuthorization } from "../shared/api.js";
import { chime, unlock } from "../shared/chime.js";
import { setServerTime } from "../shared/clock.js";
import { t, zone } from "../shared/i18n.js";
import { useOwn } from "../shared/language.js";
import { lookAtPush } from "../shared/push.js";
import { recover, renew } from "../shared/reload.js";
import { Link, NONE } from "../shared/socket.js";
import { html, mount, store } from "../shared/ui.js";
import { called } from "./place.js";
import { Ticket } from "./view.js";

const secret = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const brief = store("sessionStorage");
/** A phone's network pauses now and then; that is no reason to alarm anybody. */
const PHONE_QUIET_MS = 15_000;
const RING_MS = 4_000;
const RINGS = 6;


const info = signal(/** @type {TicketInfo | null} */ (null));
const unknown = signal(false);
const feed = signal(/** @type {Feed | null} */ (null));
const stale = signal(false);
const freshAt = signal(Date.now());
const sound = signal(false);
const seen = signal(brief.get("callboard.seen") ?? "");
const leaving = signal(/** @type {"no" | "asked" | "sent"} */ ("no"));
const problem = signal("");
const moved = signal(false);

const rows = computed(() => feed.value?.rows.value ?? NONE);
const own = computed(() => /** @type {BoardTicket | undefined} */ (rows.value.get(`t:${info.value?.ticket}`)));
/** The queue's row tells first; when the ticket has left the queue, the server was asked what became of it. */
const state = computed(() => /** @type {TicketState} */ (own.value?.state ?? info.value?.state ?? "waiting"));
const callKey = computed(() => (own.value?.state === "called" ? `${own.value.ticket}/${own.value.call?.number ?? 1}` : ""));
const ringing = computed(() => callKey.value !== "" && callKey.value !== seen.value);

/** @type {import("./view.js").Model} */
const model = {
  info, unknown, rows, own, state, stale, freshAt, sound, ringing, leaving, problem, moved,
  queue: computed(() => /** @type {QueueRow | undefined} */ (rows.value.get("queue"))),
  calling: computed(() => called(rows.value).filter((row) => row.ticket !== info.value?.ticket).slice(0, 3)),
  async soundOn() {
    await unlock();
    sound.value = true;
    navigator.vibrate?.(80);
    void stayAwake();
    await chime();
  },
  onMyWay() {
    seen.value = callKey.peek();
    brief.set("callboard.seen", seen.peek());
    navigator.vibrate?.(0);
  },
  async leave() {
    const ticket = info.peek();
    if (!ticket || leaving.peek() === "sent") return;
    leaving.value = "sent";
    problem.value = "";
    try {
      await act(`/tickets/${ticket.ticket}/cancel`);
      info.value = { ...ticket, state: "cancelled", may_cancel: false };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.value = error.message;
    }
    leaving.value = "no";
    await read();
  },
};

/** @type {Link | null} */
let link = null;
let reading = false;
let again = false;

/** Read what the server knows of this ticket, for as long as it takes, and follow the queue it is in. */
async function read() {
  if (reading) return void (again = true);
  reading = true;
  try {
    for (let attempt = 0; ; attempt += 1) {
      const sent = Date.now();
      again = false;
      try {
        const found = /** @type {TicketInfo} */ (await get("/ticket"));
        setServerTime(found.server_time, sent);
        await became(found);
        if (!again) return;
        attempt = -1;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.status === 401 || error.status === 403 || error.status === 404 || error.status === 422) return gone();
      }
      await new Promise((done) => setTimeout(done, Math.min(10_000, 500 * 2 ** Math.max(0, attempt)) * (0.75 + Math.random() / 2)));
    }
  } finally {
    reading = false;
  }
}

/** @param {TicketInfo} found */
async function became(found) {
  zone.value = found.zone;
  await useOwn(found.languages);
  const before = info.peek();
  if (before && before.stream !== found.stream) moved.value = true;
  info.value = found;
  if (link === null) {
    link = new Link({ auth: () => ({ ticket: secret }), quiet: PHONE_QUIET_MS, onDenied: read, onHello: (hello) => void renew(hello.build, () => !ringing.peek() && leaving.peek() === "no") });
    const ours = link;
    effect(() => void (stale.value = ours.stale.value));
    effect(() => void (freshAt.value = ours.freshAt.value));
  }
  if (feed.peek()?.sub.stream === found.stream) return;
  feed.peek()?.stop();
  feed.value = link.follow(
    found.stream,
    (events, how, sub) => {
      // Gone from the queue's rows, or not in them: only the server knows whether that is the end.
      const key = `t:${found.ticket}`;
      const touched = events.some((event) => event.data.ticket === found.ticket || event.data.drop?.includes(key));
      if (touched || (how !== "live" && !sub.rows.has(key))) void read();
    },
    read,
  );
}

function gone() {
  link?.close();
  link = null;
  feed.value = null;
  unknown.value = true;
}

async function stayAwake() {
  try {
    if (document.visibilityState === "visible") await navigator.wakeLock?.request("screen");
  } catch {
    // The phone's own choice.
  }
}

/** Ring and buzz until the patient has seen it, at most half a minute, again for each call. */
function ring() {
  let rings = 0;
  const once = () => {
    if (!ringing.peek() || rings >= RINGS) return clearInterval(timer);
    rings += 1;
    // Refused, with a complaint, until the page has been touched.
    if (navigator.userActivation?.hasBeenActive !== false) navigator.vibrate?.([400, 150, 400, 150, 700]);
    if (sound.peek()) void chime();
  };
  const timer = setInterval(once, RING_MS);
  once();
  return () => clearInterval(timer);
}

/** @param {unknown} error */
function failed(error) {
  console.error(error);
  void recover();
}

async function start() {
  setAuthorization(`Ticket ${secret}`);
  await useOwn();
  mount(html`<${Ticket} model=${model} />`, { fallback: html`<main class="calm-screen"><h1>${t("fault.title")}</h1><p>${t("fault.page")}</p></main>`, onError: failed });
  document.documentElement.dataset.started = "yes";
  effect(() => (callKey.value && ringing.value ? ring() : undefined));
  effect(() => {
    const ticket = info.value;
    const row = own.value;
    document.title = row?.state === "called" && row.desk ? t("ticket.turn.title", { desk: row.desk }) : `${ticket ? `${ticket.token} · ` : ""}${t("ticket.title")}`;
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") return;
    if (sound.peek()) void stayAwake();
    if (link) void read();
  });
  void read().then(() => !unknown.peek() && lookAtPush());
}

void start();
