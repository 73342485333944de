// @ts-check
/** The build this page was served from, as the server wrote it into the page's head. */
export const build = document.querySelector('meta[name="build"]')?.getAttribute("content") ?? "";
