// Parses the alerts' and the Workbook's queries with Microsoft's own Kusto language service, tables and columns
// included. Run by `make queries`, which fetches the language service from npm.
const path = require("path");
const fs = require("fs");
const [library, input] = process.argv.slice(2);
require(path.resolve(library, "bridge.js"));
require(path.resolve(library, "Kusto.Language.Bridge.js"));

const { tables, queries } = JSON.parse(fs.readFileSync(input, "utf-8"));
const { TableSymbol, DatabaseSymbol } = Kusto.Language.Symbols;
const symbols = Object.entries(tables).map(([name, schema]) => new TableSymbol.$ctor7(name, schema, null));
const database = new DatabaseSymbol.$ctor2("app", null, symbols);
const globals = Kusto.Language.GlobalState.Default.WithDatabase(database);
let wrong = 0;
for (const [name, text] of Object.entries(queries)) {
  const code = Kusto.Language.KustoCode.ParseAndAnalyze(text, globals);
  const found = code.GetDiagnostics();
  for (let index = 0; index < found.Count; index++) {
    const each = found.getItem(index);
    console.log(`${name}: ${each.Severity}: ${each.Message} at ${JSON.stringify(text.slice(each.Start, each.End))}`);
    wrong++;
  }
}
console.log(`${Object.keys(queries).length} queries, ${wrong} findings`);
process.exit(wrong ? 1 : 0);
