#if canImport(CoreML)
    import AgentCore
    import CoreML
    import Foundation

    /// Core ML behind the runner: compile once, load per function and unit, buffers kept.
    public final class CoreMLBackend: Backend {
        private let root: URL
        private var compiled: [String: URL] = [:]

        public init(root: URL) { self.root = root }

        public func load(_ item: Plan.Item, unit: ComputeUnit) throws -> Program {
            let configuration = MLModelConfiguration()
            configuration.computeUnits = unit.coreML
            if item.method != "main" && item.method != "forward" {
                guard #available(iOS 18, macOS 15, *) else {
                    throw BackendError("functions need iOS 18")
                }
                configuration.functionName = item.method
            }
            let place = try compile(item.file)
            let model = try MLModel(contentsOf: place, configuration: configuration)
            return try CoreMLProgram(
                model: model, seed: UInt64(item.id),
                placement: placement(of: place, configuration: configuration))
        }

        private func compile(_ file: String) throws -> URL {
            if let known = compiled[file] { return known }
            let kept = root.appendingPathComponent(file + "c")
            if !FileManager.default.fileExists(atPath: kept.path) {
                let fresh = try MLModel.compileModel(at: root.appendingPathComponent(file))
                try FileManager.default.moveItem(at: fresh, to: kept)
            }
            compiled[file] = kept
            return kept
        }

        /// The units that Core ML means to use, most operations first; nil before iOS 17.4.
        private func placement(of place: URL, configuration: MLModelConfiguration) -> String? {
            guard #available(iOS 17.4, macOS 14.4, *) else { return nil }
            let ready = DispatchSemaphore(value: 0)
            let found = Box<MLComputePlan?>(nil)
            Task.detached {
                found.value = try? await MLComputePlan.load(
                    contentsOf: place, configuration: configuration)
                ready.signal()
            }
            ready.wait()
            guard let plan = found.value, case .program(let program) = plan.modelStructure else {
                return nil
            }
            let name = configuration.functionNameIfAny ?? "main"
            guard let function = program.functions[name] else { return nil }
            var seen: Set<String> = []
            for operation in function.block.operations {
                guard let usage = plan.deviceUsage(for: operation) else { continue }
                switch usage.preferred {
                case .cpu: seen.insert("cpu")
                case .gpu: seen.insert("gpu")
                case .neuralEngine: seen.insert("ne")
                @unknown default: seen.insert("unknown")
                }
            }
            return seen.isEmpty ? nil : seen.sorted().joined(separator: "+")
        }
    }

    final class Box<T>: @unchecked Sendable {
        var value: T
        init(_ value: T) { self.value = value }
    }

    public struct BackendError: Error, CustomStringConvertible {
        public let description: String
        init(_ text: String) { description = text }
    }

    extension ComputeUnit {
        var coreML: MLComputeUnits {
            switch self {
            case .cpuOnly: return .cpuOnly
            case .cpuAndNe: return .cpuAndNeuralEngine
            case .cpuAndGpu: return .cpuAndGPU
            }
        }
    }

    extension MLModelConfiguration {
        var functionNameIfAny: String? {
            guard #available(iOS 18, macOS 15, *) else { return nil }
            return functionName
        }
    }
#endif
