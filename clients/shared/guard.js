// @ts-check
/**
 * Owns the one thing that no module can: a page whose modules never came (a deploy or an outage in mid-load).
 * A classic script, so that it runs even then. It reloads, ever more slowly, once the server answers.
 */
(() => {
  const began = Date.now();
  const look = () => {
    if (document.documentElement.dataset.started) return;
    fetch(location.pathname, { cache: "no-store" }).then(
      (reply) => (reply.ok ? location.reload() : setTimeout(look, 15_000)),
      () => setTimeout(look, 10_000),
    );
  };
  let soon = false;
  addEventListener(
    "error",
    (event) => {
      // Only what was to be loaded: faults of running code are the pages' own to handle.
      if (soon || event.target === window || document.documentElement.dataset.started) return;
      soon = true;
      setTimeout(look, 5_000 + Math.random() * 5_000);
    },
    true,
  );
  setTimeout(look, Math.max(0, 45_000 - (Date.now() - began)));
})();
