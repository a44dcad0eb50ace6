package names

// Short words that are easy to say and to type; none can hurt.
var adjectives = [...]string{
	"agile", "airy", "amber", "ample", "azure", "bold", "brave", "breezy", "bright", "brisk",
	"calm", "candid", "cheery", "chilly", "clear", "clever", "cosy", "crisp", "curious", "daring",
	"deep", "deft", "dusky", "eager", "early", "earnest", "easy", "fair", "fancy", "fast",
	"fine", "fleet", "fond", "frank", "free", "fresh", "gentle", "giddy", "glad", "golden",
	"grand", "green", "happy", "hardy", "hasty", "honest", "humble", "icy", "ideal", "jolly",
	"keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mighty", "mild",
	"misty", "modest", "neat", "nimble", "noble", "olive", "patient", "plucky", "polite", "proud",
	"quick", "quiet", "rapid", "ready", "rosy", "round", "royal", "rustic", "sage", "sandy",
	"serene", "sharp", "shiny", "silent", "silver", "sleek", "smart", "snowy", "solid", "spry",
	"steady", "stoic", "sunny", "swift", "tidy", "true", "upbeat", "vivid", "warm", "wise",
}

var nouns = [...]string{
	"acorn", "alder", "anchor", "aspen", "badger", "bamboo", "basin", "beacon", "beaver", "birch",
	"bison", "breeze", "bridge", "brook", "canyon", "cedar", "cliff", "clover", "comet", "condor",
	"copper", "coral", "crane", "creek", "cricket", "crow", "dawn", "delta", "dolphin", "dune",
	"eagle", "elm", "ember", "falcon", "fern", "finch", "fjord", "flint", "forest", "fox",
	"garnet", "geyser", "glacier", "grove", "gull", "harbor", "hare", "hazel", "heron", "hill",
	"island", "ivy", "jade", "juniper", "kelp", "kestrel", "lagoon", "lake", "lantern", "larch",
	"lark", "lichen", "lynx", "maple", "marsh", "marten", "meadow", "mesa", "moss", "nettle",
	"oak", "ocean", "orchid", "osprey", "otter", "owl", "pebble", "pine", "plover", "pond",
	"poplar", "prairie", "quartz", "raven", "reef", "ridge", "river", "robin", "rowan", "salmon",
	"seal", "shore", "sparrow", "spruce", "stork", "summit", "swan", "thistle", "tulip", "walnut",
	"willow", "wren", "yarrow", "zephyr",
}
