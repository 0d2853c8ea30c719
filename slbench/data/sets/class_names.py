"""Names of the classes of named data sets, by label."""

FASHION_MNIST = (  # arXiv:1708.07747, table 2
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "fashion-mnist-12k": FASHION_MNIST,
    "fashion-mnist": FASHION_MNIST,
    "fashion-mnist-10k": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar10-12k": CIFAR10,
    "svhn": tuple("0123456789"),
    "cifar100": tuple(  # the fine labels, which are in the order of the alphabet
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
        man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
        pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
        tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """.split()  # noqa: SIM905  (100 names)
    ),
}  # fmt: skip
