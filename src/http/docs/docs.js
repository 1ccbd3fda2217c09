// Starts Swagger UI on the document of this port.
const METHODS = ["get", "post", "put"];
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  // a path's POST before its PUT, and otherwise in the order of the document
  operationsSorter: (one, other) => (one.get("path") === other.get("path") ? METHODS.indexOf(one.get("method")) - METHODS.indexOf(other.get("method")) : 0),
  // nothing is asked of anybody else
  validatorUrl: null,
});
