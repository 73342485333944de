// @ts-check
/** Owns how the back office is laid out: signing in, the sections at the side, the pane, and a word on what happened. */
import { useEffect, useRef } from "preact/hooks";

import { AccountButton } from "../shared/account.js";
import { Stale } from "../shared/connection.js";
import { Alarms } from "../shared/emergency.js";
import { t } from "../shared/i18n.js";
import { LanguageChoice } from "../shared/language.js";
import { signOut, user } from "../shared/session.js";
import { SignIn } from "../shared/signin.js";
import { html } from "../shared/ui.js";
import { Word } from "../shared/word.js";
import { Account } from "./account.js";
import { Devices } from "./devices.js";
import { Institutions, NoneYet } from "./institutions.js";
import { arrived, later } from "./later.js";
import { close, sheet } from "./parts.js";
import { People } from "./people.js";
import { Places } from "./places.js";
import { route } from "./route.js";
import { Status } from "./status.js";
import { chosen, emergencies, institution, institutions, loaded, mayAdminister } from "./work.js";

/** Each section: its name in the address, its title, and what draws it. The first is where one begins. */
const SECTIONS = [
  { name: "places", title: "admin.places", View: Places },
  { name: "catalogue", title: "admin.catalogue", View: later(() => import("./catalogue.js").then((made) => made.Catalogue)) },
  { name: "patients", title: "admin.patients", View: later(() => import("./patients.js").then((made) => made.Patients)) },
  { name: "messages", title: "admin.messages", View: later(() => import("./messages.js").then((made) => made.Messages)) },
  { name: "figures", title: "admin.figures", View: later(() => import("./figures.js").then((made) => made.Figures)) },
  { name: "people", title: "admin.people", View: People },
  { name: "devices", title: "admin.devices", View: Devices },
  { name: "audit", title: "admin.audit", View: later(() => import("./audit.js").then((made) => made.Trail)) },
  { name: "status", title: "admin.status", View: Status },
  { name: "account", title: "admin.account", View: Account },
];

export function Admin() {
  if (user.value === undefined) return html`<main class="calm-screen"><p>${t("link.connecting")}</p></main>`;
  if (user.value === null) return html`<${SignIn} title=${t("admin.signin.lead")} />`;
  if (!mayAdminister.value) return html`<${Elsewhere} />`;
  return html`<${Office} />`;
}

/** Somebody who works here, but not at this. */
const Elsewhere = () => html`
  <main class="gate">
    <div class="gate-card">
      <h1>${t("admin.elsewhere")}</h1>
      <p class="soft">${t("admin.elsewhere.text")}</p>
      <div class="gate-foot">
        <button class="button" type="button" onClick=${signOut}>${t("console.signout")}</button>
        <a class="button main" href="/">${t("admin.elsewhere.go")}</a>
      </div>
    </div>
  </main>
`;

function Office() {
  const first = /** @type {typeof SECTIONS[0]} */ (SECTIONS[0]);
  const section = SECTIONS.find((one) => one.name === route.value.section) ?? first;
  const { of, id } = route.value;
  const above = user.value?.role === "super_admin";
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const place = `${section.name}/${of}/${id}`;
  const read = useRef(place);
  useEffect(() => {
    document.title = `${t(section.title)} · ${t("admin.title")} · ${t("app.name")}`;
    close();
    // On a phone the sections are a row that scrolls. Elsewhere Tab would begin at what was scrolled to.
    const side = document.querySelector(".side");
    if (side && side.scrollWidth > side.clientWidth) side.querySelector("[aria-current]")?.scrollIntoView({ inline: "nearest", block: "nearest" });
  }, [place]);
  useEffect(() => {
    // Whoever follows a link by keyboard goes on reading at the new title, once it is there.
    const title = main.current?.querySelector("h1");
    if (!loaded.value || !title || read.current === place) return;
    title.focus();
    read.current = place;
  }, [place, loaded.value, arrived.value]);
  return html`
    <div class="office">
      <a class="skip" href="#main" onClick=${(/** @type {Event} */ event) => (event.preventDefault(), main.current?.querySelector("h1")?.focus())}>${t("admin.skip")}</a>
      <header class="top">
        <span class="top-brand"><img src="/clients/shared/icon.svg" alt="" width="28" height="28" /><strong>${institution.value?.name ?? t("admin.title")}</strong></span>
        ${above && html`<${Institutions} />`}
        <div class="top-end">
          <a class="button quiet" href="/schedule">${t("schedule.title")}</a>
          <${AccountButton} href="#/account" />
          <${LanguageChoice} />
          <button class="button quiet" type="button" onClick=${signOut}>${t("console.signout")}</button>
        </div>
      </header>
      <${Stale} text="admin.stale" />
      <${Alarms} list=${emergencies.value} />
      <div class="panes">
        <nav class="side" aria-label=${t("admin.sections")}>
          ${SECTIONS.map((one) => html`<a key=${one.name} href=${`#/${one.name}`} aria-current=${one.name === section.name ? "page" : null}>${t(one.title)}</a>`)}
        </nav>
        <main class="pane" id="main" ref=${main} aria-labelledby="pane-title">
          ${loaded.value ? html`<${section.View} key=${chosen.value} />` : institutions.value?.length === 0 && above ? html`<${NoneYet} />` : html`<h1 id="pane-title" class="soft" tabindex="-1">${t("link.connecting")}</h1>`}
        </main>
      </div>
      <${Word} sheet=${sheet.value !== null} />
      ${sheet.value?.()}
    </div>
  `;
}
