"""`advnets cite`: BibTeX for the paper, and for what a run used of others' work."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import tyro

from advnets import __version__
from advnets.cli.arguments import parse
from advnets.cli.main import DONE
from advnets.cli.output import emit
from advnets.config import Config
from advnets.runs import Run

_NETS = """@inproceedings{goodfellow2014generative,
  title     = {Generative Adversarial Nets},
  author    = {Goodfellow, Ian J. and Pouget-Abadie, Jean and Mirza, Mehdi and Xu, Bing and Warde-Farley, David and
               Ozair, Sherjil and Courville, Aaron and Bengio, Yoshua},
  booktitle = {Advances in Neural Information Processing Systems 27},
  pages     = {2672--2680},
  year      = {2014},
  eprint    = {1406.2661},
  archivePrefix = {arXiv}
}"""
_ADVNETS = f"""@software{{advnets,
  title   = {{advnets: adversarial nets you can run, measure and trust}},
  author  = {{{{the advnets developers}}}},
  version = {{{__version__}}}
}}"""
_MAXOUT = """@inproceedings{goodfellow2013maxout,
  title     = {Maxout Networks},
  author    = {Goodfellow, Ian J. and Warde-Farley, David and Mirza, Mehdi and Courville, Aaron and Bengio, Yoshua},
  booktitle = {Proceedings of the 30th International Conference on Machine Learning},
  pages     = {1319--1327},
  year      = {2013}
}"""
_DROPOUT = """@article{srivastava2014dropout,
  title   = {Dropout: A Simple Way to Prevent Neural Networks from Overfitting},
  author  = {Srivastava, Nitish and Hinton, Geoffrey and Krizhevsky, Alex and Sutskever, Ilya and
             Salakhutdinov, Ruslan},
  journal = {Journal of Machine Learning Research},
  volume  = {15},
  pages   = {1929--1958},
  year    = {2014}
}"""
_ADAM = """@inproceedings{kingma2015adam,
  title     = {Adam: A Method for Stochastic Optimization},
  author    = {Kingma, Diederik P. and Ba, Jimmy},
  booktitle = {3rd International Conference on Learning Representations},
  year      = {2015},
  eprint    = {1412.6980},
  archivePrefix = {arXiv}
}"""
_MNIST = """@article{lecun1998gradient,
  title   = {Gradient-Based Learning Applied to Document Recognition},
  author  = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal = {Proceedings of the IEEE},
  volume  = {86},
  number  = {11},
  pages   = {2278--2324},
  year    = {1998}
}"""
_DBN = """@article{hinton2006fast,
  title   = {A Fast Learning Algorithm for Deep Belief Nets},
  author  = {Hinton, Geoffrey E. and Osindero, Simon and Teh, Yee-Whye},
  journal = {Neural Computation},
  volume  = {18},
  number  = {7},
  pages   = {1527--1554},
  year    = {2006}
}"""
_CAE = """@inproceedings{rifai2012generative,
  title     = {A Generative Process for Sampling Contractive Auto-Encoders},
  author    = {Rifai, Salah and Bengio, Yoshua and Dauphin, Yann and Vincent, Pascal},
  booktitle = {International Conference on Machine Learning},
  year      = {2012}
}"""
_GSN = """@inproceedings{bengio2014deep,
  title     = {Deep Generative Stochastic Networks Trainable by Backprop},
  author    = {Bengio, Yoshua and Thibodeau-Laufer, {\\'E}ric and Alain, Guillaume and Yosinski, Jason},
  booktitle = {International Conference on Machine Learning},
  year      = {2014}
}"""
_VAE = """@inproceedings{kingma2014auto,
  title     = {Auto-Encoding Variational {Bayes}},
  author    = {Kingma, Diederik P. and Welling, Max},
  booktitle = {International Conference on Learning Representations},
  year      = {2014}
}"""
_IMPROVED = """@inproceedings{salimans2016improved,
  title     = {Improved Techniques for Training {GANs}},
  author    = {Salimans, Tim and Goodfellow, Ian and Zaremba, Wojciech and Cheung, Vicki and Radford, Alec and
               Chen, Xi},
  booktitle = {Advances in Neural Information Processing Systems 29},
  year      = {2016},
  eprint    = {1606.03498},
  archivePrefix = {arXiv}
}"""
_DATA: Mapping[str, str] = MappingProxyType(
    {
        "mnist": _MNIST,
        "stacked_mnist": _MNIST,
        "digits": """@misc{alpaydin1998digits,
  title     = {Optical Recognition of Handwritten Digits},
  author    = {Alpaydin, Ethem and Kaynak, Cenk},
  publisher = {UCI Machine Learning Repository},
  year      = {1998},
  doi       = {10.24432/C50P49}
}""",
        "fashion_mnist": """@misc{xiao2017fashion,
  title  = {Fashion-{MNIST}: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  author = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  year   = {2017},
  eprint = {1708.07747},
  archivePrefix = {arXiv}
}""",
        "cifar10": """@techreport{krizhevsky2009learning,
  title       = {Learning Multiple Layers of Features from Tiny Images},
  author      = {Krizhevsky, Alex},
  institution = {University of Toronto},
  year        = {2009}
}""",
        "tfd": """@techreport{susskind2010toronto,
  title       = {The {Toronto} Face Database},
  author      = {Susskind, Joshua M. and Anderson, Adam K. and Hinton, Geoffrey E.},
  institution = {University of Toronto},
  number      = {UTML TR 2010-001},
  year        = {2010}
}""",
    }
)


@dataclass(frozen=True)
class Arguments:
    """Print BibTeX for the paper and advnets, and for the nets, the optimiser and the data of a run."""

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None
    """A run folder."""
    json: bool = False
    """Print one JSON object on stdout."""


def run(tokens: list[str]) -> int:
    """Print the entries."""
    arguments = parse(Arguments, tokens, "cite")
    used = _used(Run(arguments.run).config()) if arguments.run else []
    entries = [_NETS, *used, _ADVNETS]
    if arguments.json:
        emit({"entries": {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in entries}})
    else:
        print("\n\n".join(entries))
    return DONE


def _used(config: Config) -> list[str]:
    net, game = config.discriminator, config.is_game
    used = {
        _MAXOUT: game and max(net.pieces, *(layer.pieces for layer in net.convolutions), 1) > 1,
        _DROPOUT: game and min(*net.keep, *config.generator.keep) < 1,
        _DBN: config.rbm is not None,
        _CAE: config.cae is not None,
        _GSN: config.gsn is not None,
        _VAE: config.vae is not None,
        _IMPROVED: config.semi is not None,
        _ADAM: config.train.optimiser == "adam",
        _DATA.get(config.data.name, ""): config.data.name in _DATA,
    }
    return [entry for entry, is_used in used.items() if is_used]
