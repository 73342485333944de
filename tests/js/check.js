/** A list of failures that a test module fills and returns; Python reports it. */
export class Failures extends Array {
  /** Note a failure unless both are the same JSON. */
  same(what, found, expected) {
    const [left, right] = [JSON.stringify(sorted(found)), JSON.stringify(sorted(expected))];
    if (left !== right) this.push(`${what}: found ${left}, expected ${right}`);
  }
}

const sorted = (value) =>
  Array.isArray(value)
    ? value.map(sorted)
    : value && typeof value === "object"
      ? Object.fromEntries(Object.entries(value).sort().map(([key, inner]) => [key, sorted(inner)]))
      : value;
