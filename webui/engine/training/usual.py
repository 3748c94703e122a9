"""What people type first: the 300 most usual nouns, and the emoji that each of them means."""

from __future__ import annotations

_WORDS = """
apple: red apple; cat; dog; car: automobile; heart: red heart; house; tree: deciduous tree; sun; moon: crescent moon;
star; flower: blossom; rose; sunflower; tulip; fish; bird; horse; cow; pig; sheep: ewe; goat; chicken; duck; rabbit;
mouse; lion; tiger; bear; panda; koala; fox; wolf; monkey; elephant; giraffe; zebra; kangaroo; penguin; owl; eagle;
parrot; flamingo; peacock; swan; frog; turtle; snake; lizard; crocodile; dinosaur: T-Rex; dragon; unicorn; whale;
dolphin; shark; octopus; crab; lobster; shrimp; squid; jellyfish; snail; butterfly; bee: honeybee; ant;
ladybug: lady beetle; spider; scorpion; mosquito; worm; hedgehog; squirrel: chipmunk; beaver; otter; sloth; raccoon;
bat; hamster; camel; llama; deer; moose; bison; donkey; gorilla; rhino: rhinoceros; hippo: hippopotamus; leopard; seal;
banana; orange: tangerine; lemon; lime; pear; peach; cherry: cherries; strawberry; blueberry: blueberries; grapes;
melon; watermelon; pineapple; mango; kiwi: kiwi fruit; coconut; avocado; tomato; potato; carrot; corn: ear of corn;
broccoli; cucumber; eggplant; pepper: bell pepper; chili: hot pepper; onion; garlic; mushroom; bread; croissant;
pretzel; bagel; pancakes; waffle; cheese: cheese wedge; egg; bacon; steak: cut of meat; burger: hamburger; hamburger;
fries: french fries; pizza; hot dog; sandwich; taco; burrito; sushi; spaghetti; salad: green salad; popcorn; rice:
cooked rice; soup: pot of food; ice cream; donut: doughnut; cookie; cake: birthday cake; birthday cake; cupcake; pie;
chocolate: chocolate bar; candy; lollipop; honey: honey pot; milk: glass of milk; coffee: hot beverage; tea: teacup
without handle; teapot; wine: wine glass; beer: beer mug; cocktail: cocktail glass; juice: beverage box; spoon; fork:
fork and knife; knife: kitchen knife; plate: fork and knife with plate; face: slightly smiling face; smiley: grinning
face; smile: smiling face with smiling eyes; ghost; alien; robot; skull; clown: clown face; devil: smiling face with
horns; angel: baby angel; zombie; vampire; mermaid; fairy; elf; wizard: mage; witch: woman mage; superhero; princess;
prince; ninja; pirate: pirate flag; astronaut; doctor: health worker; nurse: woman health worker; teacher; farmer;
cook; chef: cook; firefighter; police officer; detective; artist; singer; scientist; pilot; student; baby; boy; girl;
man; woman; grandmother: old woman; grandfather: old man; santa: Santa Claus; snowman; hand: raised hand; foot; eye;
eyes; ear; nose; mouth; tongue; tooth; brain; bone; thumbs up; rocket; airplane; plane: airplane; helicopter; train;
bus; truck: delivery truck; taxi; police car; fire truck: fire engine; ambulance; tractor; motorcycle; bicycle; bike:
bicycle; scooter: kick scooter; skateboard; boat: sailboat; ship; sailboat; canoe; ufo: flying saucer; satellite;
balloon; kite; anchor; wheel; traffic light: vertical traffic light; castle; church; school; hospital; factory; tent;
mountain; volcano; island: desert island; beach: beach with umbrella; desert; forest: national park; city: cityscape;
bridge: bridge at night; fountain; sunrise; sunset; rainbow; cloud; rain: cloud with rain; snow: snowflake; snowflake;
lightning: high voltage; tornado; fire; water: droplet; wave: water wave; planet: ringed planet; saturn: ringed planet;
earth: globe showing Europe-Africa; comet; cactus; palm tree; pine tree: evergreen tree; christmas tree: Christmas
tree; leaf: maple leaf; clover: four leaf clover; plant: potted plant; pumpkin: jack-o-lantern; gift: wrapped gift;
present: wrapped gift; trophy; medal: sports medal; crown; ring; diamond: gem stone; ball: soccer ball; soccer ball;
football: american football; basketball; baseball; tennis ball: tennis; guitar; piano: musical keyboard; violin;
trumpet; drum; saxophone; harp; flute; microphone; headphones: headphone; radio; television; tv: television; camera;
phone: mobile phone; telephone; computer: desktop computer; laptop; keyboard; printer; battery; light bulb; lamp: light
bulb; candle; flashlight; book: closed book; books; newspaper; letter: envelope; envelope; pen; pencil; paintbrush;
crayon; scissors; key; lock: locked; hammer; axe; saw: carpentry saw; wrench; screwdriver; sword: crossed swords;
shield; bow: bow and arrow; bomb; magnet; gear; ladder; shovel; microscope; telescope; clock: alarm clock; alarm clock;
watch; hourglass: hourglass not done; calendar; bag: handbag; backpack; umbrella; glasses; sunglasses; hat: top hat;
shirt: t-shirt; dress; jeans; shoe: running shoe; boot: woman's boot; sock: socks; gloves; scarf; tie: necktie; coat;
door; window; bed; chair; sofa: couch and lamp; bathtub; toilet; mirror; bucket; broom; basket; soap; toothbrush;
money: money bag; coin; bell; box: package; teddy bear; dice: game die; puzzle: puzzle piece; yo-yo; magic wand;
crystal ball; compass; map: world map; flag: triangular flag; cross: latin cross; arrow: right arrow; question mark: red
question mark; exclamation mark: red exclamation mark; check mark: check mark button; peace sign: peace symbol;
poop: pile of poo; kiss: kiss mark; dice: game die
"""

USUAL: dict[str, str] = {
    word.strip(): (meant or word).strip()
    for word, _, meant in (entry.partition(":") for entry in " ".join(_WORDS.split()).split(";"))
}
"""Word -> name of the emoji."""
