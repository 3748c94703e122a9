// The rules for the page's modules and for their tests.
import js from "@eslint/js";
import globals from "globals";

const PAGE = "webui/server/ui/assets/**/*.js";

export default [
  { ignores: ["**/node_modules/"] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "eqeqeq": ["error", "always", { null: "ignore" }],
      "no-implicit-globals": "error",
      "no-var": "error",
      "prefer-const": ["error", { destructuring: "all" }],
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-shadow-restricted-names": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
    },
  },
  {
    files: [PAGE],
    languageOptions: { globals: globals.browser },
    rules: {
      "no-restricted-globals": ["error", { name: "window", message: "The page has no global of its own." }],
      "no-restricted-properties": ["error",
        { property: "innerHTML", message: "Texts are texts: use make()." },
        { property: "outerHTML", message: "Texts are texts: use make()." },
        { object: "globalThis", property: "gesso" }],
    },
  },
  { files: ["webui/server/ui/assets/inline/*.js"], languageOptions: { sourceType: "script" } },
  { files: ["tests/js/*.js"], languageOptions: { globals: globals.node } },
];
