// @ts-check
/**
 * Owns the screens on the walls: hung up by typing the code that they show, watched, renamed, and made dark.
 *
 * @import {AdminDevice} from "../shared/events.js"
 */
import { useState } from "preact/hooks";

import { build } from "../shared/build.js";
import { coarse } from "../shared/clock.js";
import { clockTime, span, stamp, t } from "../shared/i18n.js";
import { html } from "../shared/ui.js";
import { Card, Choice, Confirm, Pane, Sheet, Text, ask } from "./parts.js";
import { change, devices, locations, nameOf } from "./work.js";

/** Silent for longer, a screen is taken for dark: it tells of itself every minute. */
const SILENT_MS = 150_000;
/** Letters and digits that a screen's code may hold; people read O for 0 and I for 1, which are not among them. */
const NOT_IN_CODE = /[^A-Z2-9]/g;

/** A code as it is typed, in the form in which the screen shows it. @param {string} typed */
export function spelled(typed) {
  const bare = typed.toUpperCase().replaceAll(NOT_IN_CODE, "").slice(0, 6);
  return bare.length > 3 ? `${bare.slice(0, 3)}-${bare.slice(3)}` : bare;
}

export function Devices() {
  const live = devices.value.filter((one) => one.revoked_at === null);
  const gone = devices.value.filter((one) => one.revoked_at !== null).sort((a, b) => (b.revoked_at ?? "").localeCompare(a.revoked_at ?? ""));
  return html`
    <${Pane} title=${t("admin.devices")} lead=${t("admin.devices.lead")}>
      <${Enroll} />
      <${Card} title=${t("admin.devices.list")}>
        ${live.length === 0
          ? html`<p class="list-empty">${t("admin.devices.none")}</p>`
          : html`<ul class="entries">${live.map((one) => html`<${Device} key=${one.device} device=${one} />`)}</ul>`}
      <//>
      ${gone.length > 0 &&
      html`<details class="card folded">
        <summary>${t("admin.devices.gone", { n: gone.length })}</summary>
        <ul class="entries">${gone.map((one) => html`<li key=${one.device} class="entry is-gone" data-device=${one.device}><div class="entry-main"><strong>${one.name}</strong><span class="soft">${t("admin.devices.revoked", { at: stamp(Date.parse(one.revoked_at ?? "")) })}</span></div></li>`)}</ul>
      </details>`}
    <//>
  `;
}

function Enroll() {
  const [code, setCode] = useState("");
  // The place that stands there stays, though one that comes before it is added meanwhile.
  const [where, setWhere] = useState(() => String(locations.peek()[0]?.location ?? ""));
  const [name, setName] = useState("");
  const places = locations.value;
  const place = places.find((one) => String(one.location) === where) ?? places[0];
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    const done = await change("enroll", "/devices/enroll", { code, location_id: place?.location, name: name.trim() }, { name: name.trim() });
    if (!done) return;
    setCode((was) => (was === code ? "" : was));
    setName((was) => (was === name ? "" : was));
  };
  if (!place) return html`<${Card} title=${t("admin.enroll")}><p class="list-empty">${t("admin.enroll.noplace")}</p><//>`;
  return html`
    <${Card} title=${t("admin.enroll")} note=${t("admin.enroll.text")}>
      <form class="enroll" data-dirty=${code ? "" : null} onSubmit=${submit} data-testid="admin-enroll">
        <label class="field enroll-code"><span>${t("admin.enroll.code")}</span>
          <input name="code" value=${code} required pattern="[A-Z2-9]{3}-[A-Z2-9]{3}" title=${t("admin.enroll.form")} autocomplete="off" autocapitalize="characters" spellcheck=${false} dir="ltr" placeholder="K7Q-4M2"
            onInput=${(/** @type {{currentTarget: HTMLInputElement}} */ event) => {
              setCode(spelled(event.currentTarget.value));
              // Where the spelling comes out as before, nothing is drawn anew: the field itself must be put right.
              event.currentTarget.value = spelled(event.currentTarget.value);
            }} />
        </label>
        <${Choice} label=${t("admin.location")} value=${String(place.location)} options=${places.map((one) => ({ value: String(one.location), text: one.name }))} onChange=${setWhere} />
        <${Text} label=${t("admin.name")} name="name" value=${name} max=${60} onChange=${setName} />
        <button class="button main" type="submit">${t("admin.enroll.go")}</button>
      </form>
    <//>
  `;
}

/** @param {{device: AdminDevice}} props */
function Device({ device }) {
  const seen = device.seen_at ? Date.parse(device.seen_at) : null;
  const silent = seen === null || coarse.value - seen > SILENT_MS;
  const ago = seen === null ? t("admin.devices.never") : silent ? t("admin.devices.silent", { age: span((coarse.value - seen) / 1_000) }) : t("admin.devices.alive");
  return html`
    <li class="entry" data-testid="admin-device" data-device=${device.device}>
      <div class="entry-main">
        <strong>${device.name}</strong>
        <span class="soft">${nameOf(`location:${device.location}`)} · ${t(`admin.devices.${device.device_kind}`)}</span>
      </div>
      <dl class="facts">
        <div><dt>${t("admin.devices.life")}</dt><dd><span class=${`mark ${silent ? "is-off" : "is-on"}`}><i class="dot"></i>${ago}</span></dd></div>
        <div><dt>${t("admin.devices.build")}</dt><dd>${device.build ? (device.build === build ? t("admin.devices.build.new") : t("admin.devices.build.old")) : "–"}${device.build && html` <code>${device.build.slice(0, 7)}</code>`}</dd></div>
        <div><dt>${t("admin.devices.shows")}</dt><dd><${Shown} device=${device} /></dd></div>
      </dl>
      <div class="entry-steps">
        <button class="button" type="button" onClick=${() => ask(() => html`<${Rename} device=${device} />`)}>${t("admin.devices.rename")}</button>
        <button class="button" type="button" onClick=${() => ask(() => html`<${Revoke} device=${device} />`)}>${t("admin.devices.revoke")}</button>
      </div>
    </li>
  `;
}

/** The last call that a screen said it had shown. @param {{device: AdminDevice}} props */
function Shown({ device }) {
  const last = device.shown.filter((one) => one.token).sort((a, b) => (b.called_at ?? "").localeCompare(a.called_at ?? ""))[0];
  if (!last) return html`<span class="soft">${t("admin.devices.nothing")}</span>`;
  return html`<span class="token">${last.token}</span> <span class="soft">${nameOf(`queue:${last.queue}`)}${last.called_at ? ` · ${clockTime(Date.parse(last.called_at))}` : ""}</span>`;
}

/** @param {{device: AdminDevice}} props */
const Revoke = ({ device }) => html`
  <${Confirm} title=${t("admin.devices.revoke.title", { name: device.name })} text=${t("admin.devices.revoke.text")} action=${t("admin.devices.revoke")}
    onSubmit=${async () => Boolean(await change("revoke", `/devices/${device.device}/revoke`, {}, { name: device.name }))} />
`;

/** @param {{device: AdminDevice}} props */
function Rename({ device }) {
  const [name, setName] = useState(device.name);
  const submit = async () => Boolean(await change("rename", `/devices/${device.device}`, { name: name.trim() }, { name: name.trim() }));
  return html`<${Sheet} title=${t("admin.devices.rename")} action=${t("console.save")} onSubmit=${submit}><${Text} label=${t("admin.name")} value=${name} max=${60} onChange=${setName} /><//>`;
}
