// A BullMQ worker in a process of its own, which the tests kill: it takes one job and never ends it.
import { Worker } from "bullmq";
import { bullConnection } from "./server.js";

const worker = new Worker(
  process.argv[2],
  async (job) => {
    process.send({ active: job.id });
    await new Promise(() => {});
  },
  { connection: bullConnection, lockDuration: 500, skipStalledCheck: true },
);
worker.on("error", () => {});
