from .counterfactual import Change as Change
from .counterfactual import Counterfactuals as Counterfactuals
from .counterfactual import counterfactuals as counterfactuals
from .explanation import Explanation as Explanation
from .reason import Reason as Reason
from .reason import reasons as reasons
