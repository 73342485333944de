// @ts-check
/** Owns the service worker's registration: from then on the page opens without a network, and pushes reach the browser. */

/** @type {Promise<ServiceWorkerRegistration | null> | null} */
let registered = null;

/** The registration; null where the browser has none to offer, such as on a page without TLS. */
export function worker() {
  registered ??= register();
  return registered;
}

async function register() {
  if (!("serviceWorker" in navigator) || !isSecureContext) return null;
  try {
    return await navigator.serviceWorker.register("/sw.js", { updateViaCache: "none" });
  } catch {
    // A private window, or a policy: the page goes on without.
    return null;
  }
}
