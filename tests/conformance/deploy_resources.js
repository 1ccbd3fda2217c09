// Custom resources of Kubernetes against their types, strictly: a field that a type does not have is an error.
//
//     node deploy_resources.js FOLDER… < resources.json
//
// Each folder is an unpacked package of npm's @kubernetes-models, which generates validators of the types of KEDA, the Gateway API and Prometheus' operator
// (and of the kinds that those refer to). Standard input is a list of lists of resources; standard output what is wrong with each list. The validators let unknown
// fields pass, as a structural schema does; so each is watched while it reads a resource, and what it never asks for is unknown.
"use strict";
const fs = require("fs");
const path = require("path");

const folders = new Map();
for (const folder of process.argv.slice(2)) {
  folders.set(JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8")).name, folder);
}

// what the generated code takes from its library, without that library's own dependencies
const accepts = { validate: () => true };
const within = (bits) => ({ validate: (number) => Math.abs(number) <= 2 ** (bits - 1) });
const library = {
  "@kubernetes-models/validate": {
    formats: { byte: accepts, double: accepts, "date-time": accepts, quantity: accepts, int32: within(32), int64: within(64) },
  },
  "@kubernetes-models/validate/runtime/ucs2length": { default: (text) => [...text].length },
  // Go's way to ignore case is a flag here
  "@kubernetes-models/validate/runtime/re2": {
    default: function (pattern) {
      return new RegExp(pattern.replace("(?i)", ""), pattern.includes("(?i)") ? "iu" : "u");
    },
  },
};

const loaded = new Map();

/** The validator in a file: its imports become arguments, so that the files need no package manager. */
function validator(file) {
  if (loaded.has(file)) return loaded.get(file);
  const known = { validate: (...all) => known.made(...all) };
  loaded.set(file, known);
  const taken = [];
  const text = fs.readFileSync(file, "utf8").replace(/import\s*(\{[^}]*\}|\w+)\s*from\s*"([^"]+)";?/g, (_, names, from) => {
    taken.push(from in library ? library[from] : validator(located(from, file)));
    const last = `taken[${taken.length - 1}]`;
    return names.startsWith("{") ? `const ${names.replace(/\sas\s/g, ":")}=${last};` : `const ${names}=${last}.default;`;
  });
  // a validator leaves what it found on itself
  known.made = new Function("taken", `"use strict";${text.replace("export const validate=", "const made=")};return made;`)(taken);
  Object.defineProperty(known.validate, "errors", { get: () => known.made.errors });
  return known;
}

function located(from, file) {
  if (from.startsWith(".")) return path.resolve(path.dirname(file), from);
  for (const [name, folder] of folders) {
    if (from.startsWith(`${name}/`)) return path.join(folder, `${from.slice(name.length + 1)}.js`);
  }
  throw new Error(`${file} wants ${from}, which was not given`);
}

/** The file that validates a kind; undefined where none was given. */
function fileOf({ apiVersion, kind }) {
  for (const folder of folders.values()) {
    const model = path.join(folder, apiVersion, `${kind}.js`);
    const found = fs.existsSync(model) && fs.readFileSync(model, "utf8").match(/import\s*\{validate\}\s*from\s*"([^"]+)"/);
    if (found) return path.resolve(path.dirname(model), found[1]);
  }
  return undefined;
}

/** A value that remembers in `asked` which keys of which objects were asked for. */
function watched(value, asked) {
  if (value === null || typeof value !== "object") return value;
  if (!asked.has(value)) asked.set(value, { keys: new Set(), all: false });
  const about = asked.get(value);
  return new Proxy(value, {
    get(target, key) {
      about.keys.add(key);
      return watched(target[key], asked);
    },
    ownKeys(target) {
      about.all = true;
      return Reflect.ownKeys(target);
    },
  });
}

function unknown(value, asked, where) {
  if (value === null || typeof value !== "object") return [];
  const about = asked.get(value);
  const entries = Object.entries(value);
  // an object of which nothing was asked may have anything in it
  const free = about === undefined || about.all || Array.isArray(value) || about.keys.size === 0;
  const own = free ? [] : entries.filter(([key]) => !about.keys.has(key)).map(([key]) => `${where}.${key} is no field`);
  return own.concat(entries.flatMap(([key, inner]) => unknown(inner, asked, `${where}.${key}`)));
}

function faultsOf(resource) {
  const name = `${resource.kind} ${resource.metadata.name}`;
  const file = fileOf(resource);
  if (file === undefined) return [`${name}: nothing validates ${resource.apiVersion} ${resource.kind}`];
  const [asked, { validate }] = [new Map(), validator(file)];
  const valid = validate(watched(resource, asked));
  const wrong = valid ? [] : validate.errors.map(({ instancePath, keyword, params }) => `${instancePath || "/"} ${keyword} ${JSON.stringify(params)}`);
  return [...wrong, ...unknown(resource, asked, "")].map((fault) => `${name}: ${fault}`);
}

const lists = JSON.parse(fs.readFileSync(0, "utf8"));
console.log(JSON.stringify(lists.map((resources) => resources.flatMap(faultsOf))));
