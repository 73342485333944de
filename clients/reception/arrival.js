// @ts-check
/** Owns the code of the place at the front desk: what patients type to check in by themselves, for those who ask. */
import { useEffect, useState } from "preact/hooks";

import { Problem, get } from "../shared/api.js";
import { serverNow } from "../shared/clock.js";

const REFRESH_MS = 10 * 60_000;
const RETRY_MS = 30_000;

/**
 * The code of a location now; empty where it is not to be shown, or not known: that of the hour before proves nothing.
 * @param {number | null} location
 */
export function useArrival(location) {
  const [code, setCode] = useState("");
  useEffect(() => {
    let timer = 0;
    let current = true;
    const look = async () => {
      let wait = RETRY_MS;
      try {
        const told = await get(`/locations/${location}/arrival-code`);
        if (current) setCode(told.on_boards ? told.code : "");
        wait = Math.min(REFRESH_MS, Date.parse(told.until) - serverNow() + 500);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (current) setCode("");
      }
      if (current) timer = window.setTimeout(look, Math.max(1_000, wait));
    };
    if (location !== null) void look();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [location]);
  return code;
}
