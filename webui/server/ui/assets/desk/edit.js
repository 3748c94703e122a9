// @ts-check
// Changes of a text field that Ctrl+Z knows of.

/** @import { Edit } from "../prompttext.js" */

/**
 * @param {HTMLTextAreaElement} area
 * @param {Edit | null} edit
 */
export function apply(area, edit) {
  if (!edit) return;
  area.focus();
  area.setSelectionRange(edit.start, edit.end);
  const done = edit.text ? document.execCommand("insertText", false, edit.text) : edit.start === edit.end || document.execCommand("delete");
  if (!done) {
    area.setRangeText(edit.text, edit.start, edit.end, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
  area.setSelectionRange(...edit.selection);
}
