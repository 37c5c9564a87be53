// Checks Flux texts with InfluxData's own parser: node flux_check.mjs FOLDER_OF_THE_PACKAGE < JSON list of texts
// Prints a JSON list, per text {valid, messages, strings, interpolations}: `valid` is the package's check of
// syntax, names and types; strings are the text's string literals as the parser reads them.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const module = new WebAssembly.Module(readFileSync(join(folder, "flux-lsp-browser_bg.wasm")));
let glue;
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {};
  imports[from][name] = (...values) => glue[name](...values);
}
// the package is made for bundlers, which import WebAssembly as a module: here it is handed over
globalThis.fluxWasm = new WebAssembly.Instance(module, imports).exports;
const work = mkdtempSync(join(tmpdir(), "flux"));
const text = readFileSync(join(folder, "flux-lsp-browser_bg.js"), "utf8");
const own = text.replace(/^import \* as wasm from .*$/m, "const wasm = globalThis.fluxWasm;");
writeFileSync(join(work, "glue.mjs"), own);
try {
  glue = await import(pathToFileURL(join(work, "glue.mjs")));
} finally {
  rmSync(work, { recursive: true });
}

const messages = [];
const server = new glue.Lsp();
server.onMessage((said) => messages.push(JSON.parse(said)));
server.run();
const send = (document) => server.send(JSON.stringify({ jsonrpc: "2.0", ...document }));
send({ id: 1, method: "initialize", params: { capabilities: {} } });
send({ method: "initialized", params: {} });

const answers = [];
for (const [number, script] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  const uri = `file:///${number}.flux`;
  send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "flux", version: 1, text: script } } });
  await new Promise((resolve) => setTimeout(resolve, 20));
  const found = messages.filter((m) => m.method === "textDocument/publishDiagnostics" && m.params.uri === uri);
  const said = found.flatMap((m) => m.params.diagnostics.map((d) => d.message));
  const strings = [];
  let interpolations = 0;
  JSON.stringify(glue.parse(script), (_, value) => {
    if (value?.type === "StringLiteral") strings.push(value.value);
    if (value?.type === "StringExpression") interpolations += 1;
    return value;
  });
  answers.push({ valid: new glue.Flux(script).is_valid(), messages: said, strings, interpolations });
}
console.log(JSON.stringify(answers));
