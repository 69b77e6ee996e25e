// Reads FHIR resources as JSON lines, writes each one's messages as a JSON line. Code bindings, reference targets, structure.
const { Fhir } = require("fhir");
const fhir = new Fhir();
const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const line of lines) {
  const result = fhir.validate(JSON.parse(line), { errorOnUnexpected: true });
  const wrong = result.messages.filter((m) => m.severity === "error" || m.severity === "fatal");
  console.log(JSON.stringify(wrong.map((m) => `${m.location}: ${m.message}`)));
}
