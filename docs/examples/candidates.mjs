// Which endpoints to try, in which order, by the rules for every reader of Beacon's document.
//
//   aws ssm get-parameter --name /beacon/prod/dsql/document --query Parameter.Value --output text |
//     node candidates.mjs beacon-prod dsql us-east-1 last-good.json
//
// Arguments: service, target, observer (the Region whose parameter it is), and a file for the last good
// document. Prints "HOST PORT", best first; "last-resort" follows an endpoint to try when all others have
// failed. If the text is wrong, the program says why on stderr, and uses the last good document.
// Exit status 1: no endpoint is known. As a module: `parse` and `candidates`. No packages needed.
//
// The rules are those of layers/beacon/src/beacon/document/form.py and reader.py. One difference: JavaScript
// cannot distinguish 1.0 from 1, and accepts both as a whole number, as JSON Schema does.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const MAX_BYTES = 4096;
const MAX_SKEW_MS = 300_000;
const DAY_MS = 86_400_000;
const HOST = /^[a-z0-9]{26}\.dsql(-[a-z0-9]{1,16})?\.(?<region>[a-z0-9-]{1,20})\.on\.aws$/;
const INSTANT = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$/;
const CODE = /^[a-z_]{1,40}$/;
const MEMBERS =
  "schema service target observer epoch as_of valid_until frozen note counted_at endpoints".split(" ");
const ROW_MEMBERS =
  "region host port observed forced forced_until effective reason since latency_ms streak observed_since".split(" ");

/**
 * Read `text` whole or not at all; throws an Error that says why not.
 * `expected` is {service, target, observer, hosts}; `hosts` is optional, and no other host is then accepted.
 * `now` is a Date; `last` the {text, document} that was accepted last, if any. Returns such a pair.
 */
export function parse(text, expected, now, last = undefined) {
  check(Buffer.byteLength(text) <= MAX_BYTES, "too long");
  const document = load(text);
  check(document.schema === 1, "unknown schema");
  checkMembers(document, MEMBERS);
  for (const name of ["service", "target", "observer"]) {
    check(document[name] === expected[name], `${name} is not the expected one`);
  }
  check(isWhole(document.epoch, 1, Number.MAX_SAFE_INTEGER), "epoch is no whole number");
  check(document.epoch - now.getTime() <= MAX_SKEW_MS, "epoch is ahead of the clock");
  const validMs = instant(document.valid_until) - instant(document.as_of);
  check(validMs > 0 && validMs <= DAY_MS, "valid_until is not within a day after as_of");
  check(typeof document.frozen === "boolean", "frozen is neither true nor false");
  check(document.note === "" || isCode(document.note), "note is no code");
  if (document.counted_at !== null) instant(document.counted_at);
  const rows = document.endpoints;
  check(Array.isArray(rows) && rows.length > 0, "no endpoints");
  for (const row of rows) {
    checkRow(row);
    check(!expected.hosts?.length || expected.hosts.includes(row.host), "a host that is not in the list");
  }
  check(new Set(rows.map((row) => row.region)).size === rows.length, "a Region is named twice");
  check(rows.some((row) => row.effective === "in"), "no endpoint is in");
  if (last) {
    check(document.epoch >= last.document.epoch, "epoch is lower than the last one");
    check(document.epoch > last.document.epoch || text === last.text, "the last epoch with another content");
  }
  return { text, document };
}

/** The endpoints to try at `now`, best first: {region, host, port, lastResort}. */
export function candidates(document, now) {
  const expired = now.getTime() > instant(document.valid_until);
  const usable = document.endpoints.filter((row) => expired || row.effective === "in");
  const rest = document.endpoints.filter((row) => !usable.includes(row));
  // Drained endpoints work: they come before those that are down. The sort keeps the order among equals.
  rest.sort((one, other) => (one.observed !== "up") - (other.observed !== "up"));
  const entry = ({ region, host, port }, lastResort) => ({ region, host, port, lastResort });
  return [...usable.map((row) => entry(row, false)), ...rest.map((row) => entry(row, true))];
}

function checkRow(row) {
  check(isObject(row), "an endpoint is no object");
  checkMembers(row, ROW_MEMBERS);
  const host = typeof row.host === "string" ? HOST.exec(row.host) : null;
  check(host !== null && host.groups.region === row.region, "a host is no DSQL endpoint of its Region");
  check(isWhole(row.port, 1, 65535), "port is no port");
  check(["up", "down", "unknown"].includes(row.observed), "observed is unknown");
  check(["drain", null].includes(row.forced), "forced is unknown");
  if (row.forced_until !== null) instant(row.forced_until);
  check(row.forced !== null || row.forced_until === null, "forced_until without forced");
  check(["in", "out"].includes(row.effective), "effective is unknown");
  check(isCode(row.reason), "reason is no code");
  instant(row.since);
  const latency = row.latency_ms;
  check(latency === null || (typeof latency === "number" && latency >= 0 && latency <= 60_000), "latency_ms");
  check(isWhole(row.streak, 0, 1_000_000), "streak is no whole number");
  if (row.observed_since !== null) instant(row.observed_since);
}

function load(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("not JSON");
  }
  check(isObject(value), "not a JSON object");
  checkUnique(text);
  return value;
}

// Of two members with one name, JSON.parse keeps the last, other parsers the first.
function checkUnique(text) {
  const open = [];
  for (const [token, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (colon) {
      const name = JSON.parse(token.slice(0, -colon.length));
      check(!open.at(-1).has(name), "a member is named twice");
      open.at(-1).add(name);
    }
  }
}

function instant(value) {
  const ms = typeof value === "string" && INSTANT.test(value) ? Date.parse(value) : NaN;
  // Date.parse reads the 30th of February as the 2nd of March.
  const same = !Number.isNaN(ms) && new Date(ms).toISOString().slice(0, 19) === value.slice(0, 19);
  check(same && !value.startsWith("0000"), "an instant is none in UTC");
  return ms;
}

function checkMembers(value, names) {
  const found = Object.keys(value);
  check(found.length === names.length && names.every((name) => Object.hasOwn(value, name)), "other members");
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isWhole = (value, low, high) => Number.isInteger(value) && value >= low && value <= high;
const isCode = (value) => typeof value === "string" && CODE.test(value);

function check(holds, reason) {
  if (!holds) throw new Error(reason);
}

// The program works without the file, so an error here is only reported.
function keep(file, text) {
  try {
    writeFileSync(`${file}.${process.pid}`, text);
    renameSync(`${file}.${process.pid}`, file);
  } catch (error) {
    console.error(`the document is not kept: ${error.message}`);
  }
}

function main([service, target, observer, file]) {
  if (!service || !target || !observer) {
    console.error("usage: node candidates.mjs SERVICE TARGET OBSERVER [LAST_GOOD_FILE] < DOCUMENT");
    return 2;
  }
  const expected = { service, target, observer };
  const now = new Date();
  // Bytes that are not UTF-8 and a byte-order mark are refused, not corrected.
  const decode = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  let last;
  try {
    last = file && parse(decode(readFileSync(file)), expected, now);
  } catch (error) {
    if (error.code !== "ENOENT") console.error(`${file} is ignored: ${error.message}`);
  }
  try {
    const read = parse(decode(readFileSync(0)).replace(/\n$/, ""), expected, now, last);
    if (file && read.text !== last?.text) keep(file, read.text);
    last = read;
  } catch (error) {
    console.error(`the document is ignored: ${error.message}`);
  }
  const found = last ? candidates(last.document, now) : [];
  for (const each of found) console.log(each.host, each.port, ...(each.lastResort ? ["last-resort"] : []));
  return found.length > 0 ? 0 : 1;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = main(process.argv.slice(2));
}
