"""What a run is made of: frozen dataclasses, free of torch, one field per setting."""

from advnets.config.checks import FREE_ON_RESUME as FREE_ON_RESUME
from advnets.config.checks import belongs as belongs
from advnets.config.checks import check as check
from advnets.config.rivals import CAEConfig as CAEConfig
from advnets.config.rivals import ChainConfig as ChainConfig
from advnets.config.rivals import GSNConfig as GSNConfig
from advnets.config.rivals import RBMConfig as RBMConfig
from advnets.config.rivals import Rival as Rival
from advnets.config.rivals import VAEConfig as VAEConfig
from advnets.config.sections import Activation as Activation
from advnets.config.sections import ConditionConfig as ConditionConfig
from advnets.config.sections import Config as Config
from advnets.config.sections import ConvolutionConfig as ConvolutionConfig
from advnets.config.sections import DataConfig as DataConfig
from advnets.config.sections import DiscriminatorConfig as DiscriminatorConfig
from advnets.config.sections import GeneratorConfig as GeneratorConfig
from advnets.config.sections import Mode as Mode
from advnets.config.sections import NoiseConfig as NoiseConfig
from advnets.config.sections import StackConfig as StackConfig
from advnets.config.sections import TrainConfig as TrainConfig
from advnets.config.semi import SemiConfig as SemiConfig
from advnets.config.values import ADDED as ADDED
from advnets.config.values import flatten as flatten
from advnets.config.values import from_json as from_json
from advnets.config.values import spell as spell
from advnets.config.values import to_json as to_json
