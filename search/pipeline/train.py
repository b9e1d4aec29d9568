"""Training of one named network, from options to files."""

from search.cli.output import show_trained
from search.pipeline.images import open_images, report_images
from search.pipeline.options import TrainOptions
from search.pipeline.resources import ComputeOptions, compute_resources
from search.pipeline.run import keep_weights
from search.training.distributed import join
from search.training.progress import make_observer
from search.training.retrain import check_network, retrain
from search.training.settings import TrainingSettings
from search.zoo.resolve import find_network


def run_training(request: TrainOptions, resources: ComputeOptions, form: str) -> None:
    """Train a named network, write its weights, print its accuracy.

    Raises:
        KitError: As the parts do.
    """
    network = find_network(request.network).architecture
    check_network(network)
    request.check()
    recipe = request.train_recipe()
    settings = TrainingSettings(batch=recipe.batch, seed=request.seed, compute=resources.compute)
    observer = make_observer(request.quiet)
    with compute_resources(resources), join(resources.device) as processes:
        resources.compute.torch_device(processes.local_rank)
        data = open_images(request.images, network.resolution, request.seed)
        if processes.leads:
            report_images(data, observer.notice)
        trained = retrain(
            network,
            data,
            recipe,
            settings,
            folder=request.folder,
            resume=request.resume,
            accept_changes=request.accept_changes,
            observers=(observer,),
            processes=processes,
        )
        if processes.leads:
            keep_weights(trained, data, request.output)
            show_trained(network, trained.test, request.output, form)
