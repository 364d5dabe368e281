"""Logistic and ridge regression whose penalty cross-validation chooses."""

import dataclasses

import numpy as np
import scipy.special
import threadpoolctl
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV

from bvkeras.progress import Bar

# From so strong that nothing is learned to hardly any, in half decades.
_PENALTIES = tuple(10.0 ** (half / 2) for half in range(12, -5, -1))
_FOLDS = 5
# More rows tell hardly more about the penalty; the weights are of all. To leave
# out one row of scores at a time takes the cube of their number in operations.
_ROWS_TO_CHOOSE_ON = 10_000
_SCORES_TO_CHOOSE_ON = 2_000
_MAX_STEPS = 1000
# Weaker penalties take most of the steps. Once the loss is so many times its
# lowest, they are not tried; less could be noise.
_RISE = 1.02
# The logit of a class that no training row has, below all others.
_NEVER = -30.0
# Of the median deviation: less is the rounding of what is always the same.
_NOTHING = 1e-6

# How often a bar moves in all.
NUM_FITS = len(_PENALTIES) * _FOLDS + 1


@dataclasses.dataclass(frozen=True)
class PenalizedRegression:
    """A linear map, and the penalty it was found with.

    Attributes:
        kernel: float64 array `(features, outputs)`. Of two classes there is
            one output, the second class's logit.
        bias: float64 array `(outputs,)`.
        penalty: float. What the squared weights of standardised features
            cost: the alpha of ridge regression, the 1 / C of logistic
            regression. Infinite where all labels are the same. Of several
            labels a tuple, one for each.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float | tuple[float, ...]


def fit_regression(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int | None,
    seed: int,
    bar: Bar,
) -> PenalizedRegression:
    """Fits scikit-learn's logistic regression to classes, its ridge to scores.

    Features are standardised, and that is folded into the weights. The
    penalty is chosen on these rows alone: of classes by the log-loss of five
    folds of them, from the strongest penalty on until the loss has risen by
    2%; of scores by the squared error of leaving one row out. Where there are
    more than 10,000 rows, or 2,000 scores, so many drawn by `seed` choose.

    Args:
        features: float array `(rows, layers, features)`. Standardised in
            place: there may be no memory for a second. In float32 the
            probabilities are found to some 1e-4.
        labels: int array `(rows,)`, or float array of scores.
        num_classes: int, or None for scores.
        seed: int. Of the rows the penalty is chosen on, and of the folds.
        bar: Bar. Moved `NUM_FITS` times in all.

    Returns:
        PenalizedRegression.
    """
    center, scale = _standardize(features)
    features = features.reshape(len(features), -1)
    kernel, bias, penalty = _fit(features, labels, num_classes, seed, bar)
    return _unstandardized(kernel, bias, penalty, center, scale)


def fit_labels(
    features: np.ndarray, labels: np.ndarray, seed: int, bar: Bar
) -> PenalizedRegression:
    """Fits a logistic regression to each label, as if it were alone.

    Args:
        features: float array `(rows, layers, features)`. As `fit_regression`.
        labels: array `(rows, labels)` of 0 and 1.
        seed: int. As `fit_regression`.
        bar: Bar. Moved `NUM_FITS` times for each label.

    Returns:
        PenalizedRegression, with one output a label.
    """
    center, scale = _standardize(features)
    features = features.reshape(len(features), -1)
    found = [
        _fit(features, column.astype(np.int64), 2, seed, bar)
        for column in labels.T
    ]
    kernels, biases, penalties = zip(*found, strict=True)
    return _unstandardized(
        np.hstack(kernels), np.concatenate(biases), penalties, center, scale
    )


def _fit(features, labels, num_classes, seed, bar):
    """Kernel, bias and penalty, of standardised features."""
    generator = np.random.default_rng(seed)
    penalty = np.inf
    if len(np.unique(labels)) == 1:
        bar.advance(NUM_FITS)
        kernel, bias = _constant(features, labels[0], num_classes)
    elif num_classes is None:
        penalty = _ridge_penalty(features, labels, generator)
        bar.advance(NUM_FITS - 1)
        found = Ridge(alpha=penalty).fit(features, labels)
        kernel, bias = found.coef_[:, np.newaxis], np.array([found.intercept_])
        bar.advance()
    else:
        # Threads of BLAS wait for each other longer than its products take.
        with threadpoolctl.threadpool_limits(1, "blas"):
            penalty = _logistic_penalty(
                features, labels, num_classes, generator, bar
            )
        kernel, bias = _fit_classes(
            _logistic(penalty), features, labels, num_classes
        )
        bar.advance()
    return kernel, bias, float(penalty)


def _unstandardized(kernel, bias, penalty, center, scale):
    kernel = kernel.astype(np.float64) / scale[:, np.newaxis]
    return PenalizedRegression(kernel, bias - center @ kernel, penalty)


def _standardize(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In place; gives center and scale, float64 `(layers · features,)`."""
    centers, scales = [], []
    # Layer by layer: in float64 all of them would take twice their memory.
    for layer in range(features.shape[1]):
        values = features[:, layer].astype(np.float64)
        center, scale = values.mean(axis=0), values.std(axis=0)
        # What is constant but for its rounding would become that rounding.
        scale[scale < 1e-5 * np.abs(center)] = 1.0
        # Some encoders have features that are zero but for 1e-17: their weights
        # would be as large as they are small, and gradients through them, too.
        scale[scale < _NOTHING * np.median(scale)] = 1.0
        scale[scale == 0] = 1.0
        features[:, layer] = (values - center) / scale
        centers.append(center)
        scales.append(scale)
    return np.concatenate(centers), np.concatenate(scales)


def _logistic(penalty: float) -> LogisticRegression:
    return LogisticRegression(
        C=1 / penalty, max_iter=_MAX_STEPS, warm_start=True
    )


def _logistic_penalty(features, labels, num_classes, generator, bar):
    """The penalty with the lowest log-loss on rows left out."""
    rows = generator.permutation(len(labels))[:_ROWS_TO_CHOOSE_ON]
    folds = _folds(labels[rows], generator)
    # Each goes on from its last penalty, which saves most of the steps.
    models = {fold: _logistic(1.0) for fold in np.unique(folds)}
    losses = []
    for penalty in _PENALTIES:
        loss = 0.0
        for fold, model in models.items():
            inside, outside = rows[folds != fold], rows[folds == fold]
            model.set_params(C=1 / penalty)
            kernel, bias = _fit_classes(
                model, features[inside], labels[inside], num_classes
            )
            loss += _log_loss(
                features[outside] @ kernel + bias, labels[outside]
            )
            bar.advance()
        losses.append(loss)
        if loss > _RISE * min(losses):
            break
    bar.advance(NUM_FITS - 1 - len(losses) * len(models))
    return _PENALTIES[int(np.argmin(losses))]


def _folds(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The fold of each row, with as many of each class in each."""
    order = np.lexsort((generator.permutation(len(labels)), labels))
    folds = np.empty(len(labels), int)
    folds[order] = np.arange(len(labels)) % _FOLDS
    return folds


def _fit_classes(model, features, labels, num_classes):
    """Kernel and bias of all classes, also of those that no row has."""
    seen = np.unique(labels)
    if len(seen) == 1:
        return _constant(features, seen[0], num_classes)
    model.fit(features, labels)
    coefficients, intercepts = model.coef_.T, model.intercept_
    if len(seen) == 2:
        coefficients = np.hstack([0 * coefficients, coefficients])
        intercepts = np.array([0, *intercepts])
    kernel = np.zeros((features.shape[1], num_classes), coefficients.dtype)
    bias = np.full(num_classes, _NEVER)
    kernel[:, seen], bias[seen] = coefficients, intercepts
    if num_classes == 2:
        return kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    return kernel, bias


def _constant(features, label, num_classes):
    """Kernel and bias that always give one label."""
    if num_classes is None:
        return np.zeros((features.shape[1], 1)), np.array([float(label)])
    bias = np.full(num_classes, _NEVER)
    bias[label] = 0.0
    if num_classes == 2:
        bias = bias[1:] - bias[:1]
    return np.zeros((features.shape[1], len(bias))), bias


def _log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Summed over the rows."""
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    log_probabilities = scipy.special.log_softmax(logits, axis=1)
    return -float(log_probabilities[np.arange(len(labels)), labels].sum())


def _ridge_penalty(features, labels, generator):
    """The penalty with the lowest squared error on rows left out."""
    rows = generator.permutation(len(labels))[:_SCORES_TO_CHOOSE_ON]
    return RidgeCV(_PENALTIES).fit(features[rows], labels[rows]).alpha_
