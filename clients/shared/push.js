// @ts-check
/**
 * Owns whether this browser is told of things while no page of ours is open.
 *
 * Invariant: the browser is asked for its permission only when a person presses the button; what is subscribed is told
 * to the server again whenever a page opens, so that the two never drift apart.
 */
import { signal } from "@preact/signals";

import { Problem, get, request } from "./api.js";
import { t } from "./i18n.js";
import { worker } from "./offline.js";
import { html } from "./ui.js";

/** "none": the browser cannot; "denied": its owner does not want it. */
const state = signal(/** @type {"unknown" | "none" | "off" | "on" | "denied" | "working"} */ ("unknown"));
const problem = signal("");
const PLACES = "callboard-places";

/** Find out how it is; what is subscribed already is told to the server anew. */
export async function lookAtPush() {
  const registration = "Notification" in window && "PushManager" in window ? await worker() : null;
  if (!registration) return void (state.value = "none");
  if (Notification.permission === "denied") return void (state.value = "denied");
  const subscription = await registration.pushManager.getSubscription();
  if (!subscription || Notification.permission !== "granted") return void (state.value = "off");
  await attempt(() => tell(subscription));
}

async function turnOn() {
  await attempt(async () => {
    const registration = await worker();
    if (!registration) return "none";
    if ((await Notification.requestPermission()) === "denied") return "denied";
    if (Notification.permission !== "granted") return "off";
    const { key } = await get("/push/key");
    await navigator.serviceWorker.ready;
    return tell(await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) }));
  });
}

async function turnOff() {
  await attempt(async () => {
    const subscription = await (await worker())?.pushManager.getSubscription();
    if (subscription) {
      await request("POST", "/push/unsubscribe", { body: { endpoint: subscription.endpoint } });
      await subscription.unsubscribe();
    }
    return "off";
  });
}

/** @param {PushSubscription} subscription @returns {Promise<"on">} */
async function tell(subscription) {
  const { endpoint, keys } = subscription.toJSON();
  const reply = await request("POST", "/push/subscriptions", { body: { endpoint, p256dh: keys?.p256dh, auth: keys?.auth } });
  if (reply.ticket_id) await (await caches.open(PLACES)).put(`/~/ticket:${reply.ticket_id}`, new Response(location.pathname));
  return "on";
}

/** @param {() => Promise<typeof state.value>} work */
async function attempt(work) {
  state.value = "working";
  problem.value = "";
  try {
    state.value = await work();
  } catch (error) {
    // The browser's push service may be out of reach, or blocked where people are.
    problem.value = error instanceof Problem ? error.message : t("push.failed");
    state.value = "off";
  }
}

/** @param {string} text base64url */
function bytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** The choice, where the browser has one to offer. */
export function PushChoice() {
  const now = state.value;
  if (now === "unknown" || now === "none") return null;
  return html`
    <div class="push" data-testid="push" data-push=${now}>
      ${now === "on"
        ? html`<p role="status">✓ ${t("push.on")}</p><button class="button" type="button" onClick=${turnOff}>${t("push.off")}</button>`
        : now === "denied"
          ? html`<p class="soft">${t("push.denied")}</p>`
          : html`<button class="button" type="button" aria-disabled=${now === "working"} onClick=${() => now === "off" && turnOn()}>${t("push.offer")}</button><p class="soft">${t("push.offer.text")}</p>`}
      <div role="alert">${problem.value && html`<p class="problem">${problem.value}</p>`}</div>
    </div>
  `;
}
