// @ts-check
/**
 * Owns sections that come when they are first looked at: the back office is large, and nobody needs all of it at once.
 */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { t } from "../shared/i18n.js";
import { recover } from "../shared/reload.js";
import { html } from "../shared/ui.js";

/** How many sections have come: whoever waits for one looks again. */
export const arrived = signal(0);

/**
 * A section whose module is asked for as soon as it is to be drawn.
 * @param {() => Promise<(props: any) => any>} load
 */
export function later(load) {
  /** @type {((props: any) => any) | null} */
  let View = null;
  return function Later(/** @type {any} */ props) {
    void arrived.value;
    useEffect(() => {
      if (View) return;
      load().then((found) => {
        View = found;
        arrived.value += 1;
      }, recover);
    }, []);
    return View ? html`<${View} ...${props} />` : html`<p class="soft" role="status">${t("link.connecting")}</p>`;
  };
}
