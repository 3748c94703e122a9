// @ts-check
// Poses of people as OpenPose writes them: what can be done to them without a page. A point lies in parts of the canvas,
// from 0 to 1; null: it cannot be seen.

/**
 * @typedef {[x: number, y: number]} Place
 * @typedef {Place | null} Joint
 * @typedef {{body: Joint[], face: Joint[], left: Joint[], right: Joint[]}} Person
 * @typedef {{width: number, height: number, people: Person[]}} Poses
 * @typedef {keyof Person} Part
 */

export const JOINTS = [
  "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
  "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
  "right eye", "left eye", "right ear", "left ear",
];

/** @type {readonly Place[]} From joint to joint, in the order of their colours. */
export const LIMBS = [
  [1, 2], [1, 5], [2, 3], [3, 4], [5, 6], [6, 7], [1, 8], [8, 9], [9, 10],
  [1, 11], [11, 12], [12, 13], [1, 0], [0, 14], [14, 16], [0, 15], [15, 17],
];

/** @type {readonly Place[]} */
export const FINGERS = Array.from({ length: 20 }, (_, at) => [at % 4 ? at : 0, at + 1]);

/** @type {Record<Part, {name: string, count: number}>} */
export const PARTS = {
  body: { name: "pose_keypoints_2d", count: 18 },
  face: { name: "face_keypoints_2d", count: 70 },
  left: { name: "hand_left_keypoints_2d", count: 21 },
  right: { name: "hand_right_keypoints_2d", count: 21 },
};
const LARGEST = 8192;
const MOST = 1000;

/** @type {readonly Place[]} Somebody who stands and looks here, from 0 to 1 in both directions. */
const STANDING = [
  [0.5, 0.09], [0.5, 0.2], [0.36, 0.2], [0.28, 0.36], [0.24, 0.51], [0.64, 0.2], [0.72, 0.36], [0.76, 0.51],
  [0.42, 0.52], [0.4, 0.74], [0.39, 0.96], [0.58, 0.52], [0.6, 0.74], [0.61, 0.96],
  [0.46, 0.06], [0.54, 0.06], [0.41, 0.08], [0.59, 0.08],
];

/**
 * The colour of a limb or a joint.
 * @param {number} at
 */
export const colour = (at) => `hsl(${at * 20}deg 100% 50%)`;

/** @param {number} part */
const within = (part) => Math.min(Math.max(part, 0), 0.9999);

/**
 * What a file says.
 * @param {string} text
 * @returns {Poses}
 */
export function read(text) {
  /** @type {any} */
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    throw new Error("The file is not valid JSON.");
  }
  told = Array.isArray(told) ? told[0] : told;
  const sides = [told?.canvas_width, told?.canvas_height];
  if (!sides.every((side) => typeof side === "number" && side >= 1 && side <= LARGEST)) {
    throw new Error(`A pose must have canvas_width and canvas_height, numbers from 1 to ${LARGEST}.`);
  }
  const [width = 1, height = 1] = sides.map(Math.trunc);
  const people = told.people ?? [];
  if (!Array.isArray(people) || people.length > MOST) throw new Error(`A pose must have a list of at most ${MOST} people.`);
  return { width, height, people: people.map((each) => person(each, width, height)) };
}

/**
 * @param {any} told
 * @param {number} width
 * @param {number} height
 * @returns {Person}
 */
function person(told, width, height) {
  if (typeof told !== "object" || !told) throw new Error("Each of the people must be an object with pose_keypoints_2d.");
  const joints = (/** @type {Part} */ part) => {
    const { name, count } = PARTS[part];
    const numbers = told[name] ?? [];
    if (!Array.isArray(numbers) || (numbers.length && numbers.length !== 3 * count) || !numbers.every(Number.isFinite)) {
      throw new Error(`${name} must have ${count} points of three numbers each.`);
    }
    const points = Array.from({ length: numbers.length / 3 }, (_, at) => numbers.slice(3 * at, 3 * at + 3));
    const seen = points.filter(([, , sure]) => sure > 0);
    const areParts = seen.every(([x, y]) => Math.abs(x) <= 1 && Math.abs(y) <= 1);
    const [across, down] = areParts ? [1, 1] : [width, height];
    return points.map(([x, y, sure]) => /** @type {Joint} */ (sure > 0 ? [x / across, y / down] : null));
  };
  return { body: joints("body"), face: joints("face"), left: joints("left"), right: joints("right") };
}

/**
 * As programs take it.
 * @param {Poses} poses
 */
export function written({ width, height, people }) {
  const numbers = (/** @type {Joint[]} */ joints) =>
    joints.length ? joints.flatMap((joint) => (joint ? [within(joint[0]), within(joint[1]), 1] : [0, 0, 0])) : null;
  return {
    people: people.map((each) => ({
      [PARTS.body.name]: numbers(each.body),
      [PARTS.face.name]: numbers(each.face),
      [PARTS.left.name]: numbers(each.left),
      [PARTS.right.name]: numbers(each.right),
    })),
    canvas_width: width,
    canvas_height: height,
  };
}

/**
 * With one more, beside those who are there.
 * @param {Poses} poses
 * @returns {Poses}
 */
export function withAnother(poses) {
  const { width, height, people } = poses;
  const across = Math.min(0.5, (0.5 * height) / width);
  const left = within((1 - across) / 2 + (people.length % 5) * 0.06);
  const body = STANDING.map(([x, y]) => /** @type {Joint} */ ([within(left + x * across), within(0.05 + y * 0.9)]));
  return { ...poses, people: [...people, { body, face: [], left: [], right: [] }] };
}

/**
 * @param {Poses} poses
 * @param {number} which
 * @returns {Poses}
 */
export const without = (poses, which) => ({ ...poses, people: poses.people.filter((_, at) => at !== which) });

/**
 * With one joint at another place, or hidden. The hand at a wrist goes with it.
 * @param {Poses} poses
 * @param {number} which
 * @param {Part} part
 * @param {number} at
 * @param {Joint} to
 * @returns {Poses}
 */
export function moved(poses, which, part, at, to) {
  const place = /** @type {Joint} */ (to && [within(to[0]), within(to[1])]);
  return changed(poses, which, (own) => {
    const before = own[part][at];
    const made = { ...own, [part]: own[part].map((joint, number) => (number === at ? place : joint)) };
    const hand = part !== "body" ? null : at === 4 ? "right" : at === 7 ? "left" : null;
    return hand && before && place
      ? { ...made, [hand]: shifted(own[hand], [place[0] - before[0], place[1] - before[1]]) }
      : made;
  });
}

/**
 * With all of somebody's points moved by so much.
 * @param {Poses} poses
 * @param {number} which
 * @param {Place} by
 * @returns {Poses}
 */
export const carried = (poses, which, by) => changed(poses, which, (own) => ({
  body: shifted(own.body, by), face: shifted(own.face, by), left: shifted(own.left, by), right: shifted(own.right, by),
}));

/**
 * With the joints of somebody's body that could not be seen, where they would be if they stood.
 * @param {Poses} poses
 * @param {number} which
 * @returns {Poses}
 */
export const completed = (poses, which) => changed(poses, which, (own) => {
  const known = own.body.flatMap((joint, at) => (joint ? [{ joint, like: STANDING[at] ?? [0, 0] }] : []));
  const [across, down] = [0, 1].map((axis) => {
    const [theirs, ours] = [known.map(({ joint }) => joint[axis] ?? 0), known.map(({ like }) => like[axis] ?? 0)];
    const wide = (/** @type {number[]} */ given) => Math.max(...given) - Math.min(...given);
    const mean = (/** @type {number[]} */ given) => given.reduce((sum, one) => sum + one, 0) / given.length;
    const factor = known.length > 1 && wide(ours) > 0.01 ? wide(theirs) / wide(ours) : 0.5;
    return (/** @type {number} */ part) =>
      within(known.length ? mean(theirs) + (part - mean(ours)) * factor : 0.25 + part * factor);
  });
  const body = STANDING.map(([x, y], at) => own.body[at] ?? /** @type {Joint} */ ([across?.(x) ?? x, down?.(y) ?? y]));
  return { ...own, body };
});

/**
 * @param {Poses} poses
 * @param {number} which
 * @param {(own: Person) => Person} change
 * @returns {Poses}
 */
const changed = (poses, which, change) =>
  ({ ...poses, people: poses.people.map((own, at) => (at === which ? change(own) : own)) });

/**
 * @param {Joint[]} joints
 * @param {Place} by
 * @returns {Joint[]}
 */
const shifted = (joints, [x, y]) =>
  joints.map((joint) => /** @type {Joint} */ (joint && [within(joint[0] + x), within(joint[1] + y)]));
