// tests/real/node/batches.cjs - the openai package for Node.js on files and batches, as it is used with OpenAI.
//
//   NODE_PATH=build/node/node_modules node tests/real/node/batches.cjs URL QUESTIONS MANY
//
// Uploads QUESTIONS, has them answered and downloads what came of them; cancels a batch of MANY. Says what it has seen
// as one JSON object.
const fs = require("node:fs");
const { default: OpenAI, NotFoundError, BadRequestError } = require("openai");

const [url, questions, many] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any" });

async function until(batch, status) {
  const end = Date.now() + 60_000;
  while (batch.status !== status) {
    if (Date.now() > end) throw new Error(`the batch is ${batch.status}, and not ${status}`);
    await new Promise((done) => setTimeout(done, 50));
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

const create = (file) =>
  client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { name: "night" },
  });

const upload = (path) => client.files.create({ file: fs.createReadStream(path), purpose: "batch" });

// The class of what `promise` throws.
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return [NotFoundError, BadRequestError].find((one) => error instanceof one)?.name ?? String(error);
  }
  return "none";
}

async function ids(page) {
  const found = [];
  for await (const one of page) found.push(one.id);
  return found;
}

async function lines(id) {
  const content = await client.files.content(id);
  return (await content.text()).trimEnd().split("\n").map((line) => JSON.parse(line));
}

async function main() {
  const file = await upload(questions);
  const retrieved = await client.files.retrieve(file.id);
  const created = await create(file);
  const done = await until(created, "completed");
  const seen = { file, retrieved, created, done, listed: await ids(client.batches.list({ limit: 1 })) };
  seen.output = await lines(done.output_file_id);
  seen.errors = await lines(done.error_file_id);

  const other = await upload(many);
  const running = await until(await create(other), "in_progress");
  seen.refused = await refusal(client.files.delete(other.id));
  const cancelling = await client.batches.cancel(running.id);
  seen.cancelling = cancelling.status;
  seen.cancelled = await until(cancelling, "cancelled");
  seen.cancelledTwice = await refusal(client.batches.cancel(cancelling.id));

  seen.files = await ids(client.files.list({ limit: 1, purpose: "batch" }));
  seen.deleted = await client.files.delete(file.id);
  seen.gone = await refusal(client.files.retrieve(file.id));
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
