// @ts-check
/**
 * Owns what of the agenda somebody looks at: it stands in the address, so a reload, "back" and a link keep it.
 *
 * @typedef {"pending" | "accepted" | "rejected" | "all"} Filter
 * @typedef {{span: "day" | "week", day: string, requests: Filter, doctor: number | null}} Route  `day` "" is today
 */
import { signal } from "@preact/signals";

/** @type {Filter[]} */
export const FILTERS = ["pending", "accepted", "rejected", "all"];

/** @param {string} fragment @returns {Route} */
export function parse(fragment) {
  const [path = "", query = ""] = fragment.replace(/^#?\/?/, "").split("?");
  const [span = "", day = ""] = path.split("/");
  const asked = new URLSearchParams(query);
  const requests = FILTERS.find((one) => one === asked.get("requests")) ?? "pending";
  const doctor = Number(asked.get("doctor"));
  return {
    span: span === "week" ? "week" : "day",
    day: /^\d{4}-\d{2}-\d{2}$/.test(day) && !Number.isNaN(Date.parse(day)) ? day : "",
    requests,
    doctor: Number.isSafeInteger(doctor) && doctor > 0 ? doctor : null,
  };
}

/** @param {Route} to */
export function written(to) {
  const asked = new URLSearchParams();
  if (to.requests !== "pending") asked.set("requests", to.requests);
  if (to.doctor !== null) asked.set("doctor", String(to.doctor));
  return `#/${to.span}${to.day && `/${to.day}`}${asked.size > 0 ? `?${asked}` : ""}`;
}

export const route = signal(parse(location.hash));
addEventListener("hashchange", () => (route.value = parse(location.hash)));

/** @param {Partial<Route>} some */
export const href = (some) => written({ ...route.value, ...some });
/** From where the address is by now: two steps may come before the page hears of the first. @param {Partial<Route>} some */
export const go = (some) => void (location.hash = written({ ...parse(location.hash), ...some }));
