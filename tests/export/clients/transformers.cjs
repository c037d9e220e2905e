// Continue ids with transformers.js and encode a text.
// Arguments: its package's folder, a bundle, a dtype, how many tokens, the ids as JSON, a text.
// Prints one JSON object.
const [library, bundle, dtype, count, start, text] = process.argv.slice(2);
const { AutoModelForCausalLM, AutoTokenizer, Tensor, env } = require(library);

async function main() {
  env.allowRemoteModels = false;
  const model = await AutoModelForCausalLM.from_pretrained(bundle, { dtype, device: "cpu" });
  const ids = JSON.parse(start).map(BigInt);
  const row = (values) => new Tensor("int64", values, [1, values.length]);
  const out = await model.generate({
    input_ids: row(ids),
    attention_mask: row(ids.map(() => 1n)),
    max_new_tokens: Number(count),
    do_sample: false,
  });
  const tokenizer = await AutoTokenizer.from_pretrained(bundle);
  const type = model.config.model_type;
  const fresh = out.tolist()[0].slice(ids.length).map(Number);
  const encoded = tokenizer.encode(text);
  console.log(JSON.stringify({ type, new: fresh, encoded }));
}

main();
