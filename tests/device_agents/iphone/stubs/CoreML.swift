// Signatures of Core ML that the agent app uses, so that it is type-checked without Apple's SDK.
// Nothing here runs. Classes are not Sendable, as strictly as any SDK may have them.
import Foundation

public enum MLComputeUnits: Int { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }

open class MLModelConfiguration: NSObject {
    open var computeUnits: MLComputeUnits = .all
    @available(iOS 18, macOS 15, *)
    open var functionName: String? { get { nil } set {} }
}

public enum MLMultiArrayDataType: Int { case double, float32, float16, int32 }

public protocol MLShapedArrayScalar {}
extension Float: MLShapedArrayScalar {}
extension Float16: MLShapedArrayScalar {}

open class MLMultiArray: NSObject {
    public convenience init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws { fatalError() }
    public var dataType: MLMultiArrayDataType { fatalError() }
    public var count: Int { fatalError() }
    public subscript(index: Int) -> NSNumber { get { fatalError() } set { fatalError() } }
    public func withUnsafeMutableBufferPointer<S, R>(
        ofType type: S.Type, _ body: (UnsafeMutableBufferPointer<S>, [Int]) throws -> R
    ) rethrows -> R where S: MLShapedArrayScalar { fatalError() }
}

open class MLMultiArrayConstraint: NSObject {
    public var shape: [NSNumber] { fatalError() }
    public var dataType: MLMultiArrayDataType { fatalError() }
}

open class MLFeatureDescription: NSObject {
    public var multiArrayConstraint: MLMultiArrayConstraint? { fatalError() }
}

open class MLModelDescription: NSObject {
    public var inputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
    public var outputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
}

open class MLFeatureValue: NSObject {
    public var multiArrayValue: MLMultiArray? { fatalError() }
}

public protocol MLFeatureProvider: AnyObject {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    public init(dictionary: [String: Any]) throws { fatalError() }
    public var featureNames: Set<String> { fatalError() }
    public func featureValue(for featureName: String) -> MLFeatureValue? { fatalError() }
}

open class MLPredictionOptions: NSObject {
    @available(iOS 16, macOS 13, *)
    public var outputBackings: [String: Any] { get { [:] } set {} }
}

open class MLModel: NSObject {
    public convenience init(contentsOf url: URL, configuration: MLModelConfiguration) throws {
        fatalError()
    }
    public class func compileModel(at modelURL: URL) throws -> URL { fatalError() }
    public class func compileModel(at url: URL) async throws -> URL { fatalError() }
    public var modelDescription: MLModelDescription { fatalError() }
    public func prediction(
        from input: MLFeatureProvider, options: MLPredictionOptions
    ) throws -> MLFeatureProvider { fatalError() }
    public func prediction(
        from input: MLFeatureProvider, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> MLFeatureProvider { fatalError() }
}

open class MLCPUComputeDevice: NSObject {}
open class MLGPUComputeDevice: NSObject {}
open class MLNeuralEngineComputeDevice: NSObject {}

public enum MLComputeDevice {
    case cpu(MLCPUComputeDevice)
    case gpu(MLGPUComputeDevice)
    case neuralEngine(MLNeuralEngineComputeDevice)
}

public enum MLModelStructure {
    public struct Program {
        public struct Operation { public let operatorName: String }
        public struct Block { public let operations: [Operation] }
        public struct Function { public let block: Block }
        public let functions: [String: Function]
    }
    public struct NeuralNetwork {}
    public struct Pipeline {}
    case neuralNetwork(NeuralNetwork)
    case program(Program)
    case pipeline(Pipeline)
    case unsupported
}

@available(iOS 17.4, macOS 14.4, *)
public final class MLComputePlan {
    public struct DeviceUsage {
        public let supported: [MLComputeDevice]
        public let preferred: MLComputeDevice
    }
    public static func load(
        contentsOf url: URL, configuration: MLModelConfiguration
    ) async throws -> MLComputePlan { fatalError() }
    public var modelStructure: MLModelStructure { fatalError() }
    public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> DeviceUsage? {
        fatalError()
    }
}
