// Where the server under test is, and connections to it that end with the test that opened them.
import Redis from "ioredis";
import { createClient } from "redis";

export const url = process.env.INNKEEP_TEST_URL ?? "redis://127.0.0.1:6379/";

const { hostname, port } = new URL(url);
/** How BullMQ's classes connect. */
export const bullConnection = { host: hostname, port: Number(port), maxRetriesPerRequest: null, retryStrategy: () => 5 };

/** An ioredis client on an empty database, closed after the test `t`. */
export async function ioredis(t, options = {}) {
  const client = new Redis(url, { lazyConnect: true, ...options });
  t.after(() => client.disconnect());
  await client.connect();
  return client;
}

/** A node-redis client, closed after the test `t`. */
export async function nodeRedis(t, options = {}) {
  const client = createClient({ url, ...options });
  client.on("error", () => {}); // A connection that is cut on purpose is no surprise.
  t.after(() => client.destroy());
  await client.connect();
  return client;
}

/** The next event of this name, as an array of its arguments. */
export function next(emitter, name) {
  return new Promise((resolve) => emitter.once(name, (...values) => resolve(values)));
}

/** Polls `check` until it is true, for states that no event announces. */
export async function until(check) {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("the state was not reached in time");
}
